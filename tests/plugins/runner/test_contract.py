"""The built-in runner keeps the contract that runners of others are held to, with a sandbox and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from gome.kernel.testing import conform_runner
from gome.plugins.runner.sandbox import plugin
from gome.plugins.runner.sandbox.probe import probe


@pytest.mark.parametrize(("isolation", "start"), [("namespaces", "warm"), ("none", "cold")])
def test_the_sandbox_keeps_the_contract_of_runners(isolation: str, start: str, tmp_path: Path) -> None:
    if isolation != "none" and probe(isolation).kind == "none":
        pytest.skip(f"no sandbox can be made here: {probe(isolation).detail}")
    checks = conform_runner(plugin, tmp_path, {"isolation": isolation, "start": start}, isolated=isolation != "none")
    assert not [check for check in checks if not check.ok]
    assert len(checks) == (23 if isolation != "none" else 19)

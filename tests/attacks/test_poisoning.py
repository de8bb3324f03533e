"""A program that poisons what the next may start from: the honest one after it finds the world as the first did."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.conftest import Fort


@pytest.mark.parametrize("start", ["warm", "cold"])
def test_nothing_of_a_program_reaches_the_next(fort: Fort, start: str) -> None:
    settings: dict[str, Any] = {"start": start}
    before = fort.run("pass", settings=settings).held()
    found = fort.attack("poison", settings=settings)
    assert found.told and before.result["exit_code"] == found.result["exit_code"] == 0
    assert found.result.get("warm", False) == (start == "warm" and fort.kind == "namespaces")

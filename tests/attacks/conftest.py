"""Who is attacked: the runner of root, of an ordinary user, and of one with bubblewrap, in one process for each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.stranger import as_stranger

HERE = Path(__file__).parent
CONFTEST = HERE.parent / "plugins" / "runner" / "conftest.py"


@dataclass
class Outcome:
    """What came of an attack: what it says it has won and lost, its result as the event has it, what the honest program
    after it found to be wrong, what was left, secrets seen in the result, what the scorer says of its files."""

    won: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    told: bool = False
    result: dict[str, Any] = field(default_factory=dict)
    after: str = ""
    left: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    score: str = ""
    stored: int = 0
    crashed: str = ""

    def held(self) -> Outcome:
        """Assert what must be true after every attack."""
        assert not self.crashed, self.crashed
        assert not self.won, self.won
        assert not self.after, self.after
        assert not self.left, self.left
        assert not self.secrets, self.secrets
        return self


@dataclass
class Fort:
    """A running `besieged.py`. `attack` sends a program of `programs/` and waits for the outcome."""

    process: subprocess.Popen[str]
    user: str
    kind: str = ""
    known: dict[str, Any] = field(default_factory=dict)

    def attack(self, name: str, **job: Any) -> Outcome:
        """Run `programs/NAME.py`; everything an attack may not do is asserted here."""
        text = (HERE / "programs" / f"{name}.py").read_text()
        return self.run(text, **job).held()

    def run(self, text: str, **job: Any) -> Outcome:
        """Run a program text."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"program": text, **job}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the besieged runner itself has ended: {self.process.wait()}"
        return Outcome(**json.loads(line))


@pytest.fixture(scope="session", params=["root", "user", "bubblewrap"])
def fort(request: pytest.FixtureRequest) -> Iterator[Fort]:
    """The runner as one of the users."""
    user: str = request.param
    if user == "root" and os.geteuid() != 0:
        pytest.skip("we are not root")
    if user == "bubblewrap" and not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    isolation = "bubblewrap" if user == "bubblewrap" else "namespaces"
    folder = Path(tempfile.mkdtemp(prefix="gome-attacks-"))
    folder.chmod(0o777)
    with as_stranger() if user != "root" else Myself() as command:
        try:
            process = subprocess.Popen(
                [*command, str(HERE / "besieged.py"), str(folder), str(CONFTEST), isolation],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdin and process.stdout
            with process:
                begun = json.loads(process.stdout.readline())
                if begun["kind"] == "none" and user != "root":
                    pytest.skip(f"this kernel gives an ordinary user no namespaces: {begun['detail']}")
                assert begun["kind"] == isolation, begun
                yield Fort(process, user, begun["kind"])
                process.stdin.close()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class Myself:
    """The command of this process's own interpreter, as a context like `as_stranger`."""

    def __enter__(self) -> list[str]:
        return [sys.executable]

    def __exit__(self, *_: object) -> None:
        return None

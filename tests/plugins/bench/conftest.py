"""A home with a real server and the toys of `toys`, in which verbs are called: in this process, and in processes of
their own where something is to be killed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from gome.kernel.cli import main
from gome.kernel.server import embedded_server
from tests.kernel.verbs import Said
from tests.plugins.bench import toys

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Terminal:
    """A working folder with a home and a server that stays up between commands."""

    folder: Path

    def gome(self, *args: str) -> Said:
        """Call `gome …` in this process."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(args)
        return Said(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    def lines(self, *args: str) -> list[dict[str, Any]]:
        """Call `gome … --json` and return its lines."""
        done = self.gome(*args, "--json")
        assert done.code == 0, done.err + done.out
        return done.lines

    def start(self, *args: str, seconds: float) -> subprocess.Popen[str]:
        """Start `gome …` as a process and leave it running; `seconds` is what an execution takes in there."""
        path = os.pathsep.join((str(self.folder / "site"), str(ROOT)))
        return subprocess.Popen(
            [sys.executable, "-m", "gome.kernel.cli", *args],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, "TOY_SECONDS": str(seconds)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, name: str, text: str) -> str:
        """Write a file into the folder and return its path."""
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def table(self, bench: str) -> list[dict[str, Any]]:
        """A bench's table as it is exported."""
        return self.gome("bench", "table", bench, "-").lines

    def executed(self) -> list[str]:
        """Every time that an execution was performed, as run and attempt."""
        return (self.folder / ".gome" / "executed").read_text().splitlines()


@contextmanager
def terminal_in(folder: Path) -> Iterator[Terminal]:
    """A terminal in a folder for the length of the block, with the toys installed."""
    toys.install(folder / "site")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.syspath_prepend(str(folder / "site"))
        patch.setenv("GOME_HOME", str(folder / ".gome"))
        portal = stack.enter_context(start_blocking_portal("asyncio"))
        stack.enter_context(portal.wrap_async_context_manager(embedded_server(folder / ".gome")))
        yield Terminal(folder)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    with terminal_in(tmp_path_factory.mktemp("bench")) as found:
        yield found


@pytest.fixture(autouse=True)
def _at_home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a test has a terminal, it is there, whatever other tests do about settings."""
    if "terminal" in request.fixturenames:
        found: Terminal = request.getfixturevalue("terminal")
        monkeypatch.setenv("GOME_HOME", str(found.folder / ".gome"))
        monkeypatch.chdir(found.folder)


@pytest.fixture(scope="module")
def finished(terminal: Terminal) -> list[dict[str, Any]]:
    """The lines that a bench of eight runs has printed, which was driven to its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOME_HOME", str(terminal.folder / ".gome"))
        patch.chdir(terminal.folder)
        suite = terminal.write("pair.toml", toys.suite(hypothesis='"they differ"'))
        return terminal.lines("bench", suite, "--run", "pair", "--parallel", "2")

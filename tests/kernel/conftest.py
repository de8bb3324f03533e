"""What tests of the kernel share, for as long as a module's tests run: installed plugins and a server, and verbs that
are called on `home`, for which a module may have one of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import recorded
from tests.kernel.nats_server import NatsServer
from tests.kernel.verbs import Gome, caller, served


@pytest.fixture(scope="module")
def toys_installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The toys of `tests.kernel.recorded`, found through their entry points."""
    with recorded.installed(tmp_path_factory.mktemp("site")):
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a finished run `toy-done`, an open one `toy-open`, and a server that stays up between commands."""
    folder = tmp_path_factory.mktemp("recorded")
    with served(folder / "site", folder / "home", done="toy-done", unfinished="toy-open"):
        yield folder / "home"


@pytest.fixture
def gome(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gome:
    """Calls a verb in this process, in an empty folder, on the module's home."""
    monkeypatch.setenv("GOME_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return caller(capsys)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server for the tests of a module, none of which stops it."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    asyncio.run(server.start())
    yield server
    server.kill()

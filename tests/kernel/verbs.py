"""Verbs called in the tests' own process, on homes with recorded runs and a real embedded server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from gome.kernel.cli import main
from gome.kernel.connect import connect
from gome.kernel.server import embedded_server
from gome.kernel.settings import load
from gome.kernel.testing import Killed
from tests.kernel import recorded


@dataclass
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Gome = Callable[..., Said]


def caller(capsys: pytest.CaptureFixture[str]) -> Gome:
    """Calls a verb and says how it ended."""

    def call(*arguments: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return call


@contextmanager
def served(site: Path, *homes: Path, done: str, unfinished: str) -> Iterator[None]:
    """Homes with a server each that stays up between commands; the first has a finished run and one that is open."""

    async def record() -> None:
        async with connect(load()) as connection:
            await recorded.record(connection, done)
            with suppress(Killed):
                await recorded.record(connection, unfinished, stop_after=9)

    with ExitStack() as stack:
        patch = stack.enter_context(recorded.installed(site))
        portal = stack.enter_context(start_blocking_portal("asyncio"))
        patch.setenv("GOME_HOME", str(homes[0]))
        for home in homes:
            stack.enter_context(portal.wrap_async_context_manager(embedded_server(home)))
        portal.call(record)
        yield

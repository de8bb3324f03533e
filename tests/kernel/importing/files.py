"""Small traces files, and importing them into a log in memory, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gome.events import CODEC, Event, Trajectory
from gome.kernel.connect import Connection, connect
from gome.kernel.importing import import_file
from gome.kernel.importing.rebuild import rebuild
from gome.kernel.settings import Settings


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Connection]:
    """A connection whose log and vault are in memory."""
    async with connect(Settings(home=home), memory=True) as connection:
        yield connection


def loop(**fields: Any) -> dict[str, Any]:
    """An accepted iteration; a field given as `...` is left out."""
    whole = {
        "base_code": "",
        "code": "print(1)",
        "final_hypothesis": {"hypothesis": "Try trees", "component": "HypothesisComponent.Model"},
        "feedback": {"decision": True, "reason": "better", "observations": "fine"},
        "valid_score": 0.5,
        "test_report": None,
        "sota_hypothesis": None,
        "running_time": 12.5,
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def competition(*loops: dict[str, Any], greater: bool = True, **more: Any) -> dict[str, Any]:
    """A competition with these loops."""
    scenario = {"metric_name": "Accuracy", "metric_direction": greater, "background": "Tell cats from dogs."}
    return {"scenario": scenario, **{f"loop_{n}": found for n, found in enumerate(loops)}, **more}


def write(path: Path, **competitions: Any) -> Path:
    """Write a traces file."""
    path.write_text(json.dumps(competitions))
    return path


async def events(connection: Connection, run: str) -> list[Event]:
    """All events of a run."""
    found = []
    async for sealed in connection.log.read(run):
        found += CODEC.commit(sealed, connection.artifacts.text).events
    return found


async def trajectory(connection: Connection, run: str) -> Trajectory:
    """The fold of a run."""
    found = Trajectory()
    for event in await events(connection, run):
        found.apply(event)
    return found


async def take(connection: Connection, path: Path) -> tuple[Any, list[str]]:
    """Import a file; the report and the runs that the log has afterwards."""
    return await import_file(connection, path), await connection.log.runs()


def canonical(data: bytes, change: Callable[[Any], Any] = lambda value: value) -> str:
    """JSON in one form: keys sorted, numbers as Python prints them, NaN as such."""
    return json.dumps(change(json.loads(data)), sort_keys=True)


async def back(connection: Connection, run: str, **how: bool) -> bytes:
    """The run as JSON again."""
    return await rebuild(connection, run, **how)

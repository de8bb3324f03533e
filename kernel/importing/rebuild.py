"""An imported run as the JSON it came from: every field, in canonical order of nothing but the source's own.

What the events say is put back into its fields verbatim; white space between them is gone. Grades on hidden answers
are in it only where they are asked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from gome.events import (
    CODEC,
    IMPORTED,
    CodeWritten,
    LoopImported,
    PartKept,
    ReportImported,
    RunStarted,
    ScenarioImported,
)
from gome.kernel.connect import Connection
from gome.kernel.errors import UsageError
from gome.kernel.importing.fields import SCENARIO
from gome.kernel.importing.scan import members_of


async def rebuild(connection: Connection, run: str, *, grades: bool = True) -> bytes:
    """One competition as `{"<name>": {"scenario": …, "loop_0": …, …}}`. Raises `UsageError` for a run that was not
    imported from a traces file."""
    return b"{" + await _member(connection, run, grades) + b"}\n"


async def write_traces(connection: Connection, runs: Sequence[str], path: Path, *, grades: bool = False) -> int:
    """Write a traces file with these runs' competitions, one after the other, and return its size in bytes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            for number, run in enumerate(runs):
                file.write((b",\n" if number else b"{") + await _member(connection, run, grades))
            file.write(b"}\n")
            size = file.tell()
        os.replace(temporary, path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return size


async def _member(connection: Connection, run: str, grades: bool) -> bytes:
    name = ""
    scenario = b""
    loops: dict[str, LoopImported] = {}
    programs: dict[str, str] = {}
    kept: dict[str, PartKept] = {}
    async for sealed in connection.log.read(run):
        for event in CODEC.commit(sealed, connection.artifacts.text).events:
            match event.payload:
                case RunStarted(task=task, profile=profile) if profile == IMPORTED:
                    name = task.name
                case ScenarioImported(fields=fields):
                    scenario = str(fields).encode()
                case CodeWritten(attempt=attempt, program=program):
                    programs[attempt] = str(program)
                case LoopImported(attempt=attempt):
                    loops[attempt] = event.payload
                case PartKept(name=part, offset=offset):
                    kept[f"{part}\0{offset}"] = event.payload
    if not name:
        raise UsageError(f"run {run} was not imported from a traces file and has no such form")
    hidden = await _hidden(connection, run) if grades else {}
    parts = [(SCENARIO, scenario)] if scenario else []
    parts += [(attempt, _loop(loop, programs, hidden.get(attempt, {}))) for attempt, loop in loops.items()]
    present = {key for key, _ in parts}
    for whole in kept.values():
        if whole.damaged and whole.name in present:
            continue
        if not whole.digest:
            parts.append((whole.name, str(whole.text).encode()))
        elif grades:
            parts.append((whole.name, connection.answers.get(whole.digest)))
    return _key(name) + b":" + _object(parts)


def _loop(loop: LoopImported, programs: dict[str, str], hidden: dict[str, list[bytes]]) -> bytes:
    fields: dict[str, list[bytes]] = {}
    for key, value in members_of(str(loop.fields).encode()):
        fields.setdefault(key, []).append(value)
    for key, values in hidden.items():
        fields.setdefault(key, []).extend(values)
    texts = {"code": programs.get(loop.attempt, "")}
    texts["base_code"] = programs[loop.base] if loop.base else str(loop.base_code)
    out = []
    for key in loop.order:
        if found := fields.get(key):
            out.append((key, found.pop(0)))
        elif key in texts:
            out.append((key, json.dumps(texts[key], ensure_ascii=False).encode()))
    return _object(out)


async def _hidden(connection: Connection, run: str) -> dict[str, dict[str, list[bytes]]]:
    found: dict[str, dict[str, list[bytes]]] = {}
    if not (await connection.vault.head(run)).seq:
        return found
    async for sealed in connection.vault.read(run):
        for event in CODEC.commit(sealed, connection.artifacts.text).events:
            if isinstance(event.payload, ReportImported) and event.payload.attempt not in found:
                fields = found.setdefault(event.payload.attempt, {})
                for key, value in members_of(str(event.payload.fields).encode()):
                    fields.setdefault(key, []).append(value)
    return found


def _key(name: str) -> bytes:
    return json.dumps(name, ensure_ascii=False).encode()


def _object(parts: list[tuple[str, bytes]]) -> bytes:
    return b"{" + b",".join(_key(key) + b":" + value for key, value in parts) + b"}"

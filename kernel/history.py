"""Reading a run that is not the present one: of the same log, or of a file of records. For performers and starters.

A file is what `FileLog` writes, a record a line (`.jsonl`), with one run in it; texts that had been moved out of its
records are looked for by digest in `texts.json` beside it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from gome.events import CODEC, Commit, RunStarted, Sealed
from gome.kernel.errors import UnknownRun, UsageError
from gome.kernel.fork import descent
from gome.kernel.log import EventLog
from gome.kernel.log_file import FileLog


async def first_of(log: EventLog, run: str) -> RunStarted | None:
    """The first event of a run, with what its forks have changed; None when the log has no such run."""
    if not run or (await log.head(run)).seq == 0:
        return None
    return (await descent(log, run)).started


async def commits(log: EventLog, text: Callable[[str], str], run: str) -> AsyncIterator[Commit]:
    """The commits of a run of the log, or of the file that `run` names, decoded as far as the types of `gome.events`
    go. `text` resolves the log's moved-out texts. Raises `UnknownRun`, and `UsageError` for a file without one run."""
    path = Path(run)
    if path.suffix == ".jsonl":
        log, run, text = await _file(path)
    elif (await log.head(run)).seq == 0:
        raise UnknownRun(f"there is no run {run!r} in {log.name}; `gome runs` lists them")
    async for sealed in log.read(run):
        yield CODEC.commit(sealed, text)


async def records_of(path: Path) -> tuple[list[Sealed], Callable[[str], str]]:
    """The records of the one run that a file holds, and what resolves texts moved out of them."""
    log, run, resolve = await _file(path)
    return [sealed async for sealed in log.read(run)], resolve


async def _file(path: Path) -> tuple[FileLog, str, Callable[[str], str]]:
    if not path.is_file():
        raise UsageError(f"there is no file of records {path}")
    log = FileLog(path)
    names = await log.runs()
    if len(names) != 1:
        raise UsageError(f"{path} holds {len(names)} runs, and one is needed")
    beside = path.with_name("texts.json")
    texts: dict[str, str] = json.loads(beside.read_text()) if beside.exists() else {}

    def resolve(digest: str) -> str:
        if digest not in texts:
            raise UsageError(f"{path} names the text {digest[:20]}…, which {beside.name} beside it does not hold")
        return texts[digest]

    return log, names[0], resolve

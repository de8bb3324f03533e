"""Recorded runs that today's code must decode and verify; a new one is added with every release.

A corpus is a folder: `run.jsonl` (the records as they were stored) and `texts.json` (texts that had been moved out, by
digest). `python -m tests.recorded.corpus NAME RUN` makes one from a run of the log in the working folder's home.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from gome.events import CODEC, RunStarted, Sealed
from gome.kernel.connect import connect
from gome.kernel.log_file import FileLog
from gome.kernel.plugin import Plugin
from gome.kernel.settings import load as settings
from gome.kernel.start import plugins_of

HERE = Path(__file__).parent
_MOVED = re.compile(rb'"\$ref":"(sha256-[0-9a-f]{64})"')


@dataclass(frozen=True)
class Corpus:
    """One recorded run with the plugins it was decided by, as they are today."""

    name: str
    run: str
    records: Sequence[Sealed]
    texts: dict[str, str]
    plugins: Sequence[Plugin]


def names() -> list[str]:
    """The corpora, by name."""
    return sorted(p.parent.name for p in HERE.glob("*/run.jsonl"))


async def load(name: str) -> Corpus:
    """Read a corpus and find its plugins."""
    log = FileLog(HERE / name / "run.jsonl")
    (run,) = await log.runs()
    records = [s async for s in log.read(run)]
    started = CODEC.commit(records[0]).events[0].payload
    assert isinstance(started, RunStarted)
    texts = json.loads((HERE / name / "texts.json").read_text())
    return Corpus(name, run, records, texts, plugins_of(started))


async def record(name: str, run: str) -> None:
    """Make a corpus from a run in the log."""
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    texts: dict[str, str] = {}
    async with connect(settings()) as c:
        with open(folder / "run.jsonl", "wb") as file:
            async for sealed in c.log.read(run):
                file.write(sealed.stored + b"\n")
                for wire in sealed.body.events:
                    for digest in _refs(bytes(wire.payload)):
                        texts[digest] = c.artifacts.text(digest)
    (folder / "texts.json").write_text(json.dumps(texts, indent=0, sort_keys=True))


def _refs(payload: bytes) -> set[str]:
    """Digests of the texts that were moved out of a payload."""
    return {found.decode() for found in _MOVED.findall(payload)}


if __name__ == "__main__":
    anyio.run(record, *sys.argv[1:3])

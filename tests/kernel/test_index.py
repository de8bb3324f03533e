"""The run index: a record that nobody can read concerns its own run."""

from __future__ import annotations

from pathlib import Path

import pytest

from gome.events import CODEC, Draft, NoteAdded, Saying, Writer, command_id
from gome.kernel.index import RunIndex
from gome.kernel.log_memory import MemoryLog

pytestmark = pytest.mark.anyio


def draft(run: str, number: int, payload: bytes) -> Draft:
    said = Saying(command_id(f"{run}{number}"), "NoteAdded", 1, payload)
    return Draft(run, "control", "client", Writer("client", "", "", "test"), f"{run}{number}", "client", (said,))


async def test_a_run_with_a_record_that_does_not_decode_is_listed_as_damaged_beside_the_others(tmp_path: Path) -> None:
    log, fine = MemoryLog(), CODEC.saying("id", NoteAdded("fine")).payload
    for run, payloads in {"good": [fine, fine], "bad": [fine, b'{"text":7}', fine]}.items():
        for number, payload in enumerate(payloads):
            await log.append(draft(run, number, payload), await log.head(run))
    with RunIndex(tmp_path / "index.sqlite", log) as index:
        first, again = await index.rows(), await index.rows()
    assert first == again
    assert {row.run: (row.state, row.records) for row in first} == {"good": ("open", 2), "bad": ("damaged", 3)}

"""How fast runs are folded from an archive, beside a bare parse of the same lines with msgspec in the same run.

The runs are recorded ones sealed again under other names. `fold` is what `gome show FILE` does: read, check hashes and
chain, decode every event, fold trajectory, ledger and open intents. `read` is the checking alone. Seconds are those of
the processor, so that others on the machine do not count.
"""

from __future__ import annotations

import gc
import time
from pathlib import Path

import msgspec
import pytest

from gome.events import CODEC, Draft, Head, Saying, Sealed
from gome.kernel.archive import Archive, records_of
from gome.kernel.archive_export import Exporter
from gome.kernel.archive_log import archived
from gome.kernel.connect import connect
from gome.kernel.log_memory import MemoryLog
from gome.kernel.settings import load
from gome.kernel.state import RunState
from tests.bench.log_bench import draft
from tests.recorded import corpus

pytestmark = [pytest.mark.bench, pytest.mark.anyio]
COPIES = 100


async def small(log: MemoryLog, run: str) -> None:
    """A run of records with three events of a few hundred bytes, as the log's own bench appends."""
    head = Head(run)
    for i in range(300):
        head = (await log.append(draft(run, f"a{i}"), head)).head


async def copy(records: list[Sealed], log: MemoryLog, run: str) -> None:
    """Say the same in another run."""
    head = Head(run)
    for record in records:
        body = record.body
        said = tuple(Saying(w.id, w.type, w.tv, bytes(w.payload), w.cause, w.corr, w.cost) for w in body.events)
        names = ("lane", "role", "writer", "answers", "decider", "seen", "flags", "attempt")
        draft = Draft(run=run, sayings=said, **{n: getattr(body, n) for n in names})
        head = (await log.append(draft, head)).head


@pytest.mark.parametrize("name", ["notes", *corpus.names()])
async def test_folding_from_an_archive(tmp_path: Path, name: str) -> None:
    recorded = await corpus.load(name) if name != "notes" else None
    path = tmp_path / "x.gome"
    async with connect(load(environ={}, flags={"home": str(tmp_path / "home")}), memory=True) as connection:
        log = connection.log
        assert isinstance(log, MemoryLog)
        for text in recorded.texts.values() if recorded else ():
            connection.artifacts.put(text.encode())
        runs = [f"r{i}" for i in range(COPIES)]
        for run in runs:
            await (copy(list(recorded.records), log, run) if recorded else small(log, run))
        begun = time.process_time()
        done = await Exporter(connection, set()).write(runs, path)
        exported = time.process_time() - begun
    # As the command line has it; and what this test itself holds is nobody's garbage.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    events = sum(r.chain.seq for r in done.runs)

    begun = time.process_time()
    size = 0
    with Archive(path) as archive:
        for run in runs:
            for lines, _ in archive.batches(records_of(run)):
                for line in lines:
                    msgspec.json.decode(line)
                    size += len(line)
    raw = time.process_time() - begun

    async with archived(path, runs[0]) as (connection, _):
        begun = time.process_time()
        for run in runs:
            async for _sealed in connection.log.read(run):
                pass
        read = time.process_time() - begun
        begun = time.process_time()
        for run in runs:
            state = RunState(run, CODEC, (), connection.artifacts.text, views=False)
            async for sealed in connection.log.read(run):
                state.apply(sealed)
        fold = time.process_time() - begun
    print(f"\n{name}: {events:,} events, {size / events:,.0f} bytes each")
    print(f"  export {events / exported:,.0f} events/s")
    for what, seconds in (("raw parse", raw), ("read", read), ("fold", fold)):
        print(f"  {what} {events / seconds:,.0f} events/s, {size / seconds / 1e6:.0f} MB/s, {raw / seconds:.2f} of raw")

"""How fast the event log is, beside the bare client library on the same server in the same run.

`python tests/bench/log_bench.py` prints a table; `measure(url, token)` returns its rows. The bare figures are what
nats-py does without compare-and-swap, chain, checks and followers: `js.publish` one after the other, `js.publish` from
64 coroutines, and an ordered push consumer. The server must sync every write (`sync_interval: always`).
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nats

from gome.events import CODEC, Draft, Head, NoteAdded, Writer, event_id
from gome.kernel.jetstream import Connection
from gome.kernel.log_file import FileLog
from gome.kernel.log_jetstream import JetStreamLog

EVENTS = 3
"""Events in a record: what a step of the playbook says at once, on average."""
TEXT = 300
RUNS = 64
_names = itertools.count()


@dataclass(frozen=True)
class Row:
    """One figure: ours, the bare library's, and their ratio (above 1: ours is better)."""

    what: str
    unit: str
    ours: float
    bare: float

    @property
    def ratio(self) -> float:
        """How many times better ours is."""
        return self.bare / self.ours if self.unit == "ms" else self.ours / self.bare


def draft(run: str, answers: str) -> Draft:
    """A record of the usual size."""
    said = tuple(
        CODEC.saying(event_id(answers, "bench", i), NoteAdded(text="lorem ipsum " * (TEXT // 12)), cause=answers)
        for i in range(EVENTS)
    )
    return Draft(run, "decide", "search", Writer("bench", "1", "", "bench"), answers, "bench", said)


async def append_latency(log: JetStreamLog, js: Any, count: int) -> Row:
    """Milliseconds (median) of one append after the other in one run."""
    head, ours, bare = Head("solo"), [], []
    for i in range(count):
        begun = time.perf_counter()
        record = await log.append(draft("solo", f"a{i}"), head)
        ours.append(time.perf_counter() - begun)
        head = record.head
    for _ in range(count):
        begun = time.perf_counter()
        await js.publish("bare.one", record.stored)
        bare.append(time.perf_counter() - begun)
    return Row("append, one run, median", "ms", statistics.median(ours) * 1e3, statistics.median(bare) * 1e3)


async def append_rate(log: JetStreamLog, js: Any, records: int, rounds: int = 3) -> Row:
    """Events per second that 64 runs append at the same time: the best of some rounds, ours and bare by turns."""
    stored = (await log.append(draft("sample", "a"), await log.head("sample"))).stored

    async def ours(run: str) -> None:
        head = await log.head(run)
        for _ in range(records):
            head = (await log.append(draft(run, f"a{head.seq}"), head)).head

    async def bare(run: str) -> None:
        for _ in range(records):
            await js.publish(f"bare.{run}", stored)

    best = {ours: 0.0, bare: 0.0}
    for _ in range(rounds):
        for work in best:
            begun = time.perf_counter()
            await asyncio.gather(*[work(f"run{i}") for i in range(RUNS)])
            best[work] = max(best[work], RUNS * records * EVENTS / (time.perf_counter() - begun))
    return Row(f"append, {RUNS} runs", "events/s", best[ours], best[bare])


async def read_rate(log: JetStreamLog, js: Any, records: int) -> Row:
    """Events per second of a checked read of one long run, beside an unchecked ordered subscription."""
    head = await log.head("long")
    while head.seq < records * EVENTS:
        head = (await log.append(draft("long", f"a{head.seq}"), head)).head
    begun = time.perf_counter()
    ours = sum([record.body.n async for record in log.read("long")])
    ours_rate = ours / (time.perf_counter() - begun)
    begun = time.perf_counter()
    subscription = await js.subscribe("bench.ev.main.long.>", stream=log._stream, ordered_consumer=True)
    count = 0
    async for _ in subscription.messages:
        count += EVENTS
        if count >= head.seq:
            break
    bare_rate = count / (time.perf_counter() - begun)
    await subscription.unsubscribe()
    return Row("read and check, one run", "events/s", ours_rate, bare_rate)


async def archive_rate(log: JetStreamLog) -> Row:
    """The same run from a file, beside plain reading of its lines."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.jsonl"
        with path.open("wb") as file:
            async for record in log.read("long"):
                file.write(record.stored + b"\n")
        begun = time.perf_counter()
        events = sum([record.body.n async for record in FileLog(path).read("long")])
        ours = events / (time.perf_counter() - begun)
        begun = time.perf_counter()
        bare = sum(EVENTS for _ in path.open("rb")) / (time.perf_counter() - begun)
    return Row("read and check, archive", "events/s", ours, bare)


async def measure(url: str, token: str, *, appends: int = 500, records: int = 30, long: int = 3000) -> list[Row]:
    """Run everything on a server."""
    connection = Connection(url, token=token)
    log = JetStreamLog(connection, stream=f"BENCH{next(_names)}", prefix="bench.ev")
    client = await nats.connect(url, token=token)
    js = client.jetstream()
    await js.add_stream(name="BARE", subjects=["bare.>"])
    try:
        return [
            await append_latency(log, js, appends),
            await append_rate(log, js, records),
            await read_rate(log, js, long),
            await archive_rate(log),
        ]
    finally:
        await client.close()
        await log.close()


def show(rows: list[Row]) -> None:
    """Print the table."""
    print(f"{'what':28} {'unit':9} {'gome':>10} {'bare':>10} {'ratio':>7}")
    for row in rows:
        print(f"{row.what:28} {row.unit:9} {row.ours:10,.2f} {row.bare:10,.2f} {row.ratio:7.2f}")


def _helper() -> ModuleType:
    path = Path(__file__).parents[1] / "kernel" / "nats_server.py"
    spec = importlib.util.spec_from_file_location("nats_server", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nats_server"] = module
    spec.loader.exec_module(module)
    return module


async def main() -> None:
    """Measure on a server of our own."""
    with tempfile.TemporaryDirectory() as folder:
        async with _helper().nats_server(Path(folder)) as server:
            show(await measure(server.url, server.token))


if __name__ == "__main__":
    asyncio.run(main())

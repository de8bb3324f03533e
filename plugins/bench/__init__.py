"""Benches: many runs that are compared, planned from a suite file, recorded as a run of their own, read as a table.

`suite` reads the file, `cells` says which runs come of it, `planning` resolves their settings, `decide` is the decider
of the bench's run, `launch` performs its cells, `rows` makes the table of them (`table`); `commands` is `gome bench`,
`report/` what `gome report` makes of it.
"""

from __future__ import annotations

from gome.events import Event, Payload
from gome.kernel.errors import UsageError
from gome.kernel.plugin import Context, Effect, Plugin
from gome.plugins.bench.commands import bench
from gome.plugins.bench.decide import ANSWERS, READS, State, decide, evolve
from gome.plugins.bench.events import BenchFinished, BenchStarted, CellFinished, CellRequested, ParallelChanged
from gome.plugins.bench.report.command import report


async def _elsewhere(event: Event, ctx: Context) -> Payload:
    raise UsageError(f"the cells of bench {ctx.run} are run by `gome bench --resume {ctx.run}`")


plugin = Plugin(
    name="bench",
    role="plugin",
    summary="gome bench: compare searches, reasoners, models and settings on tasks",
    reads=READS,
    answers=ANSWERS,
    initial=State,
    evolve=evolve,
    decide=decide,
    # Only a crash counts as an attempt, and each leaves the cell further on than the one before.
    effects=(Effect(CellRequested, policy="reconcile", attempts=100),),
    perform=_elsewhere,
    emits=(BenchStarted, ParallelChanged, CellRequested, CellFinished, BenchFinished),
    commands=(bench,),
    reports=(report,),
    alone=True,
    modules=tuple(f"gome.plugins.bench.{name}" for name in ("cells", "decide", "events", "suite")),
)

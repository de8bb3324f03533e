"""A cell that a service runs: submitted to `gome serve`, followed to its end, read off like any other.

Services share the log with the bench, so nothing is copied; the run's id is the service's, from the bench's id and the
cell, and submitting again (after a crash, or by a bench that goes on) is submitting once. How many programs a run
executes at once is the service's setting, not the suite's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import msgspec

from gome.kernel.errors import UsageError
from gome.kernel.service.client import ServiceClient
from gome.kernel.service.submission import Options
from gome.plugins.bench.cells import Cell
from gome.plugins.bench.events import CellFinished

if TYPE_CHECKING:
    from gome.kernel.connect import Connection
    from gome.kernel.plugin import Context


async def served(connection: Connection, cell: Cell, ctx: Context) -> CellFinished:
    """Bring a cell to its end by whatever services there are; called off, its run is asked to stop. Raises `Refused`
    where a service does not take it, `LogUnreachable` where none answers."""
    if connection.nats is None:
        raise UsageError("services are asked over NATS, and the log is in memory only")
    if cell.task.test or cell.treatment.fallback:
        raise UsageError("a service takes no second table and no fallback; leave them out, or run without --services")
    client = ServiceClient(connection.nats, connection.tenant)
    treatment = cell.treatment
    options = {name: getattr(cell.task, name) for name in Options.__struct_fields__ if name != "split_seed"}
    status = await client.submit(
        cell.task.spec,
        nonce=f"{ctx.run}/{cell.digest}",
        seed=cell.seed,
        budget=msgspec.to_builtins(cell.budget),
        traces=treatment.traces,
        roles=treatment.roles,
        profile=treatment.profile,
        options=msgspec.to_builtins(Options(**options, split_seed=cell.split_seed)),
        settings=treatment.settings,
    )
    run = str(status["run"])
    try:
        async for _ in client.tail(run):
            pass
    except anyio.get_cancelled_exc_class():
        if ctx.cancelled():
            with anyio.CancelScope(shield=True):
                await client.stop(run, "its bench was stopped")
        raise
    found = await client.result(run)
    return CellFinished(
        cell=cell.digest,
        run=run,
        outcome=found["outcome"],
        reason=found["reason"],
        score=found["summary"].get("score"),
        seconds=round(found["spent"].get("seconds", 0.0), 3),
    )

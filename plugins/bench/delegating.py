"""Performing the cells of a bench by services: each cell is submitted under its run's own id and awaited.

Any number of `gome serve` processes on the same log drive the runs, and go on with them while the bench is away. The
run is begun with just what the cell says, whatever the settings of the service are. Submitting a cell again, after a
crash, is submitting it once.
"""

from __future__ import annotations

import anyio
from msgspec import structs

from gome.kernel.discovery import codec_for
from gome.kernel.errors import GomeError
from gome.kernel.service.submission import Exact, Options, Submission, Submitted
from gome.kernel.service.submissions import Submissions
from gome.kernel.service.tenants import Tenant
from gome.kernel.state import RunState
from gome.plugins.bench.cells import Cell
from gome.plugins.bench.launch import LOOK, Conductor, request_of


class Delegating(Conductor):
    """Hands cells to services instead of driving their runs."""

    async def _finished(self, run: str, cell: Cell) -> RunState:
        c = self.connection
        assert c.nats is not None
        await self._task(cell, request_of(cell, run, self.unsafe))
        submissions = Submissions(c.nats, c.time.now)
        await submissions.put(Tenant(name=c.tenant), submitted(cell, run, c.tenant, c.time.now()))
        while (entry := await submissions.find(c.tenant, run)) is None or entry.ended is None:
            await anyio.sleep(LOOK)
        if (await c.log.head(run)).seq == 0:
            raise GomeError(entry.ended.reason)
        state = RunState(run, codec_for(()), (), c.artifacts.text)
        async for sealed in c.log.read(run):
            state.apply(sealed)
        return state


def submitted(cell: Cell, run: str, tenant: str, now: float) -> Submitted:
    """The record that has a service begin the run of a cell."""
    task, treatment = cell.task, cell.treatment
    options = {name: getattr(task, name) for name in ("target", "metric", "id", "group", "time_column", "drop")}
    asked = Submission(
        task=task.spec,
        nonce=run,
        seed=cell.seed,
        budget=cell.budget,
        traces=treatment.traces,
        roles=dict(treatment.roles),
        options=structs.replace(Options(**options), split_seed=cell.split_seed),
        settings=dict(treatment.settings),
    )
    exact = Exact(capacity=cell.capacity, profile=treatment.profile, fallback=treatment.fallback, test=task.test)
    return Submitted(run, tenant, now, asked, exact)

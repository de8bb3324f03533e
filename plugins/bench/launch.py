"""Beginning a bench, going on with one, and performing its cells: each is a run that this process drives.

The bench's own run holds what was planned and what came of it; a cell's run holds everything else and is a run like any
other. Its id follows from the bench's and the cell's, so a cell that was cut off (SIGKILL included) is taken up where
its log ends, and one whose run is finished is read off, never repeated. Executions go to `gome worker`s where the
settings say `performers.runner = "queue"`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from gome.events import Artifact, Event, Metric, RunStarted, RunSuspended, Task, digest_of
from gome.kernel.connect import Connection
from gome.kernel.diagnostics import redact
from gome.kernel.discovery import pin
from gome.kernel.errors import GomeError, LogUnreachable, UsageError, leaves
from gome.kernel.index import RunIndex, key_of
from gome.kernel.log_checks import check_name
from gome.kernel.owner import owner_of
from gome.kernel.plugin import Context, Plugin
from gome.kernel.pools import CorePool, DevicePool
from gome.kernel.request import DEFAULT_PROFILE, Request, environment, new_run_id, prepared_task
from gome.kernel.settings import Settings
from gome.kernel.start import Launch, Launcher, new_nonce
from gome.kernel.state import RunState
from gome.kernel.tasks import TaskOptions, sources
from gome.plugins.bench.cells import Cell, cells
from gome.plugins.bench.events import BenchStarted, CellFinished, CellOutcome, CellRequested, ParallelChanged
from gome.plugins.bench.planning import Plan, check_same, code_version
from gome.plugins.bench.reading import begun, recorded
from gome.plugins.bench.suite import TaskChoice

LOOK = 1.0
"""Seconds after which a run that another process drives is looked at again."""
NOTHING = b""
"""Stands for the tables that a bench as a whole does not have."""


@dataclass
class Conductor:
    """Performs the cells of one bench, as `Plugin.perform`. `settings` say where home, log and workers are; those that
    runs are decided by come with the cells. `driven` are the cells that go on at this moment, by digest."""

    connection: Connection
    settings: Settings
    unsafe: bool = False
    tell: Callable[[str], None] = lambda text: None
    driven: dict[str, Launch] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)
    _cores: CorePool | None = None
    _devices: DevicePool = field(default_factory=DevicePool)
    _tasks: dict[tuple[TaskChoice, int | None], tuple[Task, float | None]] = field(default_factory=dict)
    _preparing: anyio.Lock = field(default_factory=anyio.Lock)

    def know(self, started: BenchStarted) -> None:
        """Learn which cells there are, and share the machine among those that go on at once."""
        self.cells = {cell.digest: cell for cell in cells(started.suite, started.treatments)}
        self.share(started.suite.capacity, started.parallel)

    def share(self, capacity: int, parallel: int) -> None:
        """As many programs at once as `parallel` runs of that capacity may execute."""
        self._cores = CorePool(capacity * parallel)

    async def check_tasks(self, planned: Plan) -> None:
        """Prepare, for later too, what is not merely named but described: own tables and folders, and what a suite says
        beside a name. Raises `UsageError` naming the task. What is known by name takes long and is there."""
        known = {name for source in sources() for name, _ in source.names()}
        seen: set[TaskChoice] = set()
        for cell in planned.cells:
            task = cell.task
            if task in seen or (task.spec in known and task == TaskChoice(spec=task.spec)):
                continue
            seen.add(task)
            try:
                await self._task(cell, request_of(cell, "", self.unsafe))
            except UsageError as error:
                raise UsageError(f"suite {planned.suite.name}, task {cell.task_name}: {error}") from error

    async def perform(self, event: Event, ctx: Context) -> CellFinished:
        """Bring a cell's run to its end, whatever has become of it before."""
        asked = event.payload
        assert isinstance(asked, CellRequested), "the bench performs nothing else"
        cell = self.cells[asked.cell]
        run = cell.run(ctx.run)
        try:
            state = await self._finished(run, cell)
        except Exception as error:  # whatever it is, it is this cell's result and ends no other
            found = leaves(error)
            if any(isinstance(leaf, LogUnreachable) for leaf in found):
                raise
            first = next((leaf for leaf in found if isinstance(leaf, GomeError)), found[0])
            why = str(first) if isinstance(first, GomeError) else f"{type(first).__name__}: {first}"
            ctx.log.warning("cell lost", cell=cell.name, run=run, error=redact(why))
            return CellFinished(cell=cell.digest, run=run, outcome="lost", reason=redact(why)[:2000])
        t = state.trajectory
        outcome: CellOutcome = t.finished.outcome if t.finished else "lost"
        return CellFinished(
            cell=cell.digest,
            run=run,
            outcome=outcome,
            reason=t.finished.reason if t.finished else f"left open: {t.suspended}",
            score=t.selected.score if t.selected else None,
            seconds=round(t.active, 3),
            reference=self._tasks[_key(cell)][1],
        )

    async def _finished(self, run: str, cell: Cell) -> RunState:
        while owner_of(self.connection.home, run) is not None:
            await anyio.sleep(LOOK)  # somebody has resumed it by hand; what comes of that is this cell's result too
        settings, request = _settings_of(self.settings, cell), request_of(cell, run, self.unsafe)
        task, _ = await self._task(cell, request)
        async with Launcher(self.connection, settings, self._cores, self._devices) as launcher:
            launch = await launcher.start(request, self.tell, task)
            launch.session.tell = self.tell
            if launch.live.state.finished is not None:
                return launch.live.state
            self.driven[cell.digest] = launch
            try:
                return await launch.drive()
            except anyio.get_cancelled_exc_class():
                with anyio.CancelScope(shield=True):
                    await self._leave_open(launch)
                raise
            finally:
                del self.driven[cell.digest]

    async def _task(self, cell: Cell, request: Request) -> tuple[Task, float | None]:
        """A cell's task, prepared once for all cells on it, and the best hidden score that is known for it."""
        async with self._preparing:
            if _key(cell) not in self._tasks:
                task, _, prepared = await prepared_task(self.connection, request)
                best = max if task.metric.greater_is_better else min
                self._tasks[_key(cell)] = task, best((r.score for r in prepared.references), default=None)
        return self._tasks[_key(cell)]

    async def _leave_open(self, launch: Launch) -> None:
        """Say in a cell's log that it rests, so that what was cut off does not count as an attempt."""
        live = launch.live
        if live.state.finished is None and not live.state.suspended:
            await launch.session.command(RunSuspended(reason="its bench was left"), new_nonce())


def _key(cell: Cell) -> tuple[TaskChoice, int | None]:
    return cell.task, cell.split_seed


def _settings_of(base: Settings, cell: Cell) -> Settings:
    treatment = cell.treatment
    return dataclasses.replace(
        base,
        capacity=cell.capacity,
        traces=treatment.traces,
        profile=treatment.profile,
        fallback=treatment.fallback,
        roles=treatment.roles,
        plugins=treatment.settings,
        origins={},
        profiled={},
    )


def request_of(cell: Cell, run: str, unsafe: bool) -> Request:
    """What starts the run of a cell."""
    task, treatment = cell.task, cell.treatment
    options = TaskOptions(
        target=task.target,
        test=Path(task.test) if task.test else None,
        metric=task.metric,
        id=task.id,
        group=task.group,
        time_column=task.time_column,
        drop=task.drop,
        split_seed=cell.split_seed,
    )
    return Request(
        spec=task.spec,
        options=options,
        run=run,
        seed=cell.seed,
        budget=cell.budget,
        traces=treatment.traces,
        named=treatment.roles,
        profile=treatment.profile or DEFAULT_PROFILE,
        settings=treatment.settings,
        fallback=treatment.fallback,
        unsafe=unsafe,
    )


async def begin(launcher: Launcher, plugin: Plugin, conductor: Conductor, planned: Plan, run: str) -> Launch:
    """Begin a bench as a run of its own. Raises `UsageError` for a task of its suite that cannot be prepared."""
    c = launcher.connection
    suite = planned.suite
    c.artifacts.put(NOTHING)
    nothing = Artifact(digest=digest_of(NOTHING), size=0, name="nothing.csv", media="text/csv")
    started = BenchStarted(
        suite=suite,
        treatments=planned.treatments,
        plan=planned.digest,
        cells=len(planned.cells),
        parallel=planned.parallel,
        commit=code_version(),
    )
    about = Task(
        name=suite.name,
        kind="regression",
        metric=Metric(name=f"{len(planned.cells)} cells", greater_is_better=True),
        target="",
        id="",
        columns=(),
        train=nothing,
        test=nothing,
        rows_train=0,
        rows_test=0,
        description=suite.hypothesis or suite.about,
    )
    first = RunStarted(
        task=about,
        seed=0,
        traces=1,
        capacity=planned.parallel,
        profile=plugin.name,
        plugins=(pin(plugin),),
        environment=environment(),
    )
    await conductor.check_tasks(planned)
    conductor.know(started)
    run = check_name("run id", run or new_run_id(suite.name, c.time.now()))
    return await launcher.begin(run, [plugin], first, started)


async def go_on(launcher: Launcher, plugin: Plugin, conductor: Conductor, run: str, parallel: int | None) -> Launch:
    """Take up a bench where its log ends; `parallel` cells at once from here on, if given. Raises `UnknownRun`, and
    `UsageError` for a run that is no bench."""
    known = await recorded(launcher.connection, run)
    launch = await launcher.resume(run, plugins=[plugin])
    conductor.know(known.started)
    if launch.live.state.finished is None and parallel not in (None, known.parallel):
        await launch.session.command(ParallelChanged(parallel=parallel), new_nonce(), resumes=True)
    conductor.share(known.started.suite.capacity, parallel or known.parallel)
    return launch


async def unfinished(connection: Connection, planned: Plan) -> str:
    """The latest bench of this very plan that has not ended and that nobody drives; "" when there is none."""
    with RunIndex(connection.home / "index.sqlite", connection.log) as index:
        rows = await index.rows(key_of(connection))
    for row in reversed(rows):
        if row.task != planned.suite.name or row.state not in ("open", "suspended"):
            continue
        found = await begun(connection, row.run)
        if found and found.started.plan == planned.digest and owner_of(connection.home, row.run) is None:
            return row.run
    return ""


async def open_bench(
    launcher: Launcher, plugin: Plugin, conductor: Conductor, planned: Plan, run: str, parallel: int | None
) -> Launch:
    """Begin a bench of this plan, or go on with the one of that id, or with an unfinished one of the same plan where no
    id is given. Raises `UsageError` where `run` has another plan."""
    c = launcher.connection
    if run and (await c.log.head(run)).seq:
        if (known := await begun(c, run)) is not None:
            check_same(known.started.plan, planned, run)
        return await go_on(launcher, plugin, conductor, run, parallel)
    if not run and (found := await unfinished(c, planned)):
        return await go_on(launcher, plugin, conductor, found, parallel)
    return await begin(launcher, plugin, conductor, planned, run)

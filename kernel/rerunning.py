"""Starting a rerun: find a recorded attempt and data to run it on, and begin the small run that does it.

What a rerun decides is in `rerun`; this file reads the recorded run, prepares or finds the task's tables, and says in
the new run's first record what is wanted. Called by `gome rerun`.
"""

from __future__ import annotations

import csv
import difflib
import io
import shutil
from dataclasses import dataclass

import msgspec
from anyio import to_thread

from gome.events import (
    BASELINE,
    Attempt,
    Basis,
    ExecutionRequested,
    Limits,
    RerunRequested,
    RunStarted,
    Task,
    Trajectory,
    metric_name,
)
from gome.kernel.artifacts import ArtifactStore
from gome.kernel.connect import Connection
from gome.kernel.discovery import OPTIONAL_ROLES, RUN_ROLES, pin
from gome.kernel.errors import UsageError
from gome.kernel.history import commits
from gome.kernel.request import Request, environment, new_run_id, prepare, resolve_settings, task_with_artifacts
from gome.kernel.rerun import cast
from gome.kernel.start import Launch, Launcher


@dataclass(frozen=True)
class Wanted:
    """What a person asks for. `task` is a specification as `gome run` takes it ("": the recorded task), `seed` and
    `seconds` replace the recorded ones where given, `cores` those of the execution."""

    attempt: str
    task: str = ""
    seed: int | None = None
    seconds: float | None = None
    cores: int = 1
    debug: bool = False


@dataclass(frozen=True)
class Recorded:
    """An attempt as a log has it: the run's first event, the attempt, limits of its last execution, whether the run has
    ended, and how its folds were dealt."""

    run: str
    started: RunStarted
    attempt: Attempt
    limits: Limits
    finished: bool
    folds: int
    partitions: int


async def recorded(source: Connection, run: str, name: str) -> Recorded:
    """Read an attempt of a run. Raises `UnknownRun`, and `UsageError` for an attempt that is not there or has no
    program."""
    t, limits = Trajectory(), Limits()
    async for commit in commits(source.log, source.artifacts.text, run):
        for event in commit.events:
            t.apply(event)
            if isinstance(event.payload, ExecutionRequested) and event.payload.attempt == name:
                limits = event.payload.limits
    attempt = t.baseline if name == BASELINE else t.attempts.get(name)
    if attempt is None:
        near = difflib.get_close_matches(name, t.attempts, n=3, cutoff=0.3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"`gome show {run}` lists them"
        raise UsageError(f"run {run} has no attempt {name!r}; {hint}")
    if attempt.code is None or not str(attempt.code.program).strip():
        raise UsageError(f"attempt {name} of run {run} has no program; `gome show {run}` shows which have one")
    assert t.started is not None, "a run begins with RunStarted"
    folds, partitions = (t.profiled.fold_count, t.profiled.partitions) if t.profiled else (5, 8)
    return Recorded(run, t.started, attempt, limits, t.finished is not None, folds, partitions)


async def begin(launcher: Launcher, source: Connection, found: Recorded, wanted: Wanted) -> Launch:
    """Start the run that executes the attempt's program again; it is to be driven by the caller. Raises `UsageError`
    where there are no data."""
    c = launcher.connection
    if wanted.task:
        request = Request(spec=wanted.task)
        prepared, findings = await to_thread.run_sync(prepare, request, c.home)
        try:
            task = task_with_artifacts(c, prepared, findings)
        finally:
            shutil.rmtree(next(iter(prepared.files.values())).parent, ignore_errors=True)
    else:
        task = _recorded_task(c, source.artifacts, found)
    if not found.finished and not _elsewhere(task, found.started.task):
        # The hidden grade of an attempt would be shown with the rerun, while the run that it belongs to goes on.
        task = msgspec.structs.replace(task, answers="")
    plugins = cast(found.started.roles)
    request = Request(spec="", settings=launcher.settings.plugins)
    asked = _asked(c, source.artifacts, found, wanted, task)
    started = RunStarted(
        task=task,
        seed=asked.seed,
        traces=1,
        capacity=1,
        profile="rerun",
        plugins=tuple(pin(p) for p in plugins),
        roles={p.role: p.name for p in plugins if p.role in (*RUN_ROLES, *OPTIONAL_ROLES)},
        settings=resolve_settings(plugins, request, launcher.settings),
        environment=environment(),
    )
    return await launcher.begin(new_run_id(f"rerun-{task.name}", c.time.now()), plugins, started, asked)


def _canonical(metric: str) -> str:
    """A metric's own name; an imported run spells it as it likes, and may have one that nobody here knows."""
    try:
        return metric_name(metric)
    except ValueError:
        return metric.strip().lower()


def _elsewhere(task: Task, other: Task) -> bool:
    return task.train.digest != other.train.digest and task.test.digest != other.test.digest


def _recorded_task(c: Connection, artifacts: ArtifactStore, found: Recorded) -> Task:
    """The recorded task, if its tables are at hand; those of another store are copied into ours."""
    task = found.started.task
    nowhere = UsageError(
        f"the data of run {found.run} (task {task.name}) are not here; say on what to run the program with --task: a "
        "name (`gome tasks`) or a folder with a task.toml"
    )
    if not task.rows_train or not all(_taken(c, artifacts, t.digest) for t in (task.train, task.test)):
        raise nowhere
    known = task.answers if task.answers and c.answers.has(task.answers) else ""
    return msgspec.structs.replace(task, answers=known)


def _taken(c: Connection, artifacts: ArtifactStore, digest: str) -> bool:
    """Whether our store holds a digest, after a look into the other one (an archive's)."""
    if c.artifacts.has(digest):
        return True
    return artifacts.has(digest) and c.artifacts.put_file(artifacts.path(digest)) == digest


def _asked(c: Connection, artifacts: ArtifactStore, found: Recorded, wanted: Wanted, task: Task) -> RerunRequested:
    """The recorded execution once more, as far as what was recorded of it reaches."""
    before, attempt = found.started.task, found.attempt
    scored, done = attempt.scored, attempt.execution
    basis: Basis = "nothing"
    if _canonical(task.metric.name) == _canonical(before.metric.name):
        same = (task.train.digest, task.test.digest, task.id) == (before.train.digest, before.test.digest, before.id)
        basis = "rows" if same else "metric"
    oof = scored.outputs.get("oof.csv") if scored and basis == "rows" else None
    assert attempt.code is not None
    seed = wanted.seed if wanted.seed is not None else (done.seed if done else found.started.seed % 2**31)
    limits = msgspec.structs.replace(found.limits, cores=wanted.cores, bar=None)
    if wanted.seconds is not None:
        limits = msgspec.structs.replace(limits, seconds=wanted.seconds)
    return RerunRequested(
        source=found.run,
        attempt=attempt.id,
        program=attempt.code.program,
        purpose="debug" if wanted.debug else "full",
        seed=seed,
        partition=scored.partition if scored else 0,
        limits=limits,
        folds_seed=found.started.seed,
        folds=found.folds,
        partitions=found.partitions,
        basis=basis,
        recorded=scored.score if scored else None,
        recorded_se=(scored.se or None) if scored else None,
        oof=oof if oof and _taken(c, artifacts, oof.digest) else None,
    )


def written(artifacts: ArtifactStore, attempt: Attempt | None) -> float | None:
    """The score that a program wrote into `scores.csv`, in the row `ensemble`; None where it wrote none of that shape.
    It is the program's own claim."""
    file = attempt.execution.outputs.get("scores.csv") if attempt and attempt.execution else None
    if file is None:
        return None
    # The runner has taken nothing else under this name than a small table of finite numbers with that row.
    rows = csv.reader(io.StringIO(artifacts.get(file.digest).decode("utf-8-sig"), newline=""))
    return next((float(row[1]) for row in rows if len(row) == 2 and row[0].strip() == "ensemble"), None)

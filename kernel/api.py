"""Running from Python, and the one way from a request to written results that the command line uses too.

from gome.kernel import run
result = run("train.csv", target="price", time="3m")
print(result.score, result.program); result.predict("new.csv")
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from gome.events import Budget, Task, Trajectory
from gome.kernel.connect import Connection, connect, grades
from gome.kernel.errors import GomeError, UsageError
from gome.kernel.forking import ForkRequest
from gome.kernel.profiles import find_profile
from gome.kernel.report import report
from gome.kernel.request import DEFAULT_PROFILE, DEFAULT_SECONDS, Request
from gome.kernel.results import Summary, check_place, folder_for, summarise, takes_tables, write
from gome.kernel.settings import Settings, load, seconds
from gome.kernel.start import Launch, Launcher
from gome.kernel.tasks import TaskOptions

if TYPE_CHECKING:
    import pandas

Watcher = Callable[[Launch], contextlib.AbstractAsyncContextManager[None]]
"""Entered around the drive of a launched run: progress, signals."""


@dataclass(frozen=True)
class Done:
    """A run that has been driven to its end or suspension, with its results written when there are any."""

    summary: Summary
    trajectory: Trajectory
    launch: Launch


@contextlib.asynccontextmanager
async def unwatched(launch: Launch) -> Any:
    """Drive without showing anything."""
    yield


async def execute(
    settings: Settings,
    request: Request,
    *,
    resume: str = "",
    fork: ForkRequest | None = None,
    memory: bool = False,
    out: Path | None = None,
    watch: Watcher = unwatched,
    say: Callable[[str], None] = lambda text: None,
) -> Done:
    """Start a run (or resume `resume`, or `fork` one), drive it, and write its result folder below `out` (default: the
    working folder). Raises `UsageError` before anything begins where none can be written."""
    out = out or Path.cwd()
    check_place(out)
    async with connect(settings, memory=memory) as connection, Launcher(connection, settings) as launcher:
        if fork is not None:
            launch = await launcher.fork(fork, say)
        elif resume:
            launch = await launcher.resume(resume, unsafe=request.unsafe)
        else:
            launch = await launcher.start(request, say)
        if launch.live.state.finished is None:
            async with watch(launch):
                await launch.drive()
        return await finish(connection, launch, out)


async def finish(connection: Connection, launch: Launch, out: Path) -> Done:
    """Summarise a run and, when it is finished, write its folder; a rerun hands nothing in and has none."""
    state = launch.live.state
    t = state.trajectory
    assert state.started is not None
    found = await grades(connection, launch.run) if state.finished else {}
    summary = summarise(launch.run, t, found, state.ledger)
    if state.finished is not None and t.rerun is None:
        folder = folder_for(state.started.task, launch.run, out)
        summary = msgspec.structs.replace(summary, folder=str(folder))
        write(folder, t, report(summary, t), connection.artifacts)
    return Done(summary, t, launch)


class RunFailed(GomeError):
    """The run ended without anything to hand in."""


@dataclass(frozen=True)
class Result:
    """What `run` returns. `score` is the validation score, `hidden` the score on held-out answers (None where there
    are none), `program` the path of best_program.py, `submission` the path of the predictions."""

    summary: Summary
    trajectory: Trajectory
    task: Task
    folder: Path

    @property
    def score(self) -> float | None:
        """Validation score of what was handed in."""
        return self.summary.score

    @property
    def hidden(self) -> float | None:
        """Score on the hidden answers."""
        return self.summary.hidden

    @property
    def program(self) -> Path:
        """The program that was handed in."""
        return self.folder / "best_program.py"

    @property
    def submission(self) -> Path:
        """The predictions that were handed in."""
        return self.folder / "submission.csv"

    def predict(self, table: str | Path | pandas.DataFrame) -> pandas.DataFrame:
        """Fit the program on the run's training table and predict another one (a CSV path or a frame with the feature
        columns). Runs the program as you, outside the sandbox; it takes as long as one execution. A program that takes
        no arguments, as models write them, is given that table in the place of the test table."""
        import pandas

        frame = table if isinstance(table, pandas.DataFrame) else pandas.read_csv(table)
        if self.task.id not in frame:
            frame = frame.assign(**{self.task.id: range(len(frame))})
        train = self.folder / "input" / "train.csv"
        with tempfile.TemporaryDirectory(prefix="gome-predict-") as scratch:
            given = Path(scratch) / "input"
            shutil.copytree(self.folder / "input", given)
            test, out = given / "test.csv", Path(scratch) / "submission.csv"
            frame.to_csv(test, index=False)
            sample = pandas.read_csv(given / "sample_submission.csv", nrows=1)
            blank = {c: sample[c].iloc[0] for c in sample.columns if c != self.task.id}
            frame[[self.task.id]].assign(**blank).to_csv(given / "sample_submission.csv", index=False)
            command = [sys.executable, str(self.program)]
            if takes_tables(self.program.read_text()):
                command += ["--train", str(train), "--test", str(test), "--out", str(out)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=scratch, check=False)
            if done.returncode != 0:
                last = done.stderr.strip().splitlines()[-1:] or ["no message"]
                raise GomeError(f"{self.program} failed on that table: {last[0]}; does it have the columns of {train}?")
            return pandas.read_csv(out)


def run(
    task: str,
    *,
    target: str = "",
    test: str | Path | None = None,
    metric: str = "",
    id: str = "",
    group: str = "",
    time_column: str = "",
    drop: tuple[str, ...] = (),
    time: str | float = DEFAULT_SECONDS,
    steps: int | None = None,
    traces: int | None = None,
    seed: int = 0,
    split_seed: int | None = None,
    run_id: str = "",
    search: str = "",
    reasoner: str = "",
    fallback: str = "",
    model: str = "",
    base_url: str = "",
    max_cost: float | None = None,
    max_tokens: int | None = None,
    profile: str = "",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    out: str | Path | None = None,
    memory: bool = False,
    unsafe: bool = False,
) -> Result:
    """Optimise a task and return the result; the same as `gome run`, whose flags have the same names.

    `task` is a table (`train.csv`), a folder with a task.toml, or the name of a task that `gome tasks` lists; `time` is
    seconds or text such as `"3m"`; `traces` is the settings' (3) where it is not given. Raises `UsageError` for what
    cannot mean anything and `RunFailed` when nothing could be handed in. Interrupting it leaves the run open: call
    again with the same `run_id` to go on.
    """
    flags = {"profile": profile or None, "fallback": fallback or None, "traces": traces}
    loaded = load(flags={**flags, **(settings or {})}, profiles=find_profile)
    loaded.export_secrets()
    options = TaskOptions(
        target=target,
        test=Path(test) if test else None,
        metric=metric,
        id=id,
        group=group,
        time_column=time_column,
        drop=tuple(drop),
        split_seed=split_seed,
    )
    named = {**loaded.roles, **{k: v for k, v in (("search", search), ("reasoner", reasoner)) if v}}
    request = Request(
        spec=str(task),
        options=options,
        run=run_id,
        seed=seed,
        budget=Budget(
            seconds=seconds(time) if isinstance(time, str) else float(time),
            steps=steps,
            money=max_cost,
            tokens=max_tokens,
        ),
        traces=loaded.traces,
        named=named,
        profile=loaded.profile or DEFAULT_PROFILE,
        settings=loaded.plugins,
        fallback=loaded.fallback,
        model=model,
        base_url=base_url,
        unsafe=unsafe,
    )
    where = Path(out) if out else None
    done = anyio.run(lambda: execute(loaded, request, memory=memory, out=where))
    if done.summary.outcome == "failed" or not done.summary.folder:
        raise RunFailed(f"run {done.summary.run} has nothing to hand in: {done.summary.reason}")
    assert done.trajectory.started is not None
    return Result(done.summary, done.trajectory, done.trajectory.started.task, Path(done.summary.folder))


__all__ = ["Done", "Result", "RunFailed", "UsageError", "execute", "run"]

"""`gome rerun`: run the program of a recorded attempt again, in the sandbox, and compare what it scores."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import click

from gome.kernel.cli.opening import complete, json_option, nats_option, reading
from gome.kernel.cli.output import cell, duration, emit, say

if TYPE_CHECKING:
    from gome.events import Trajectory
    from gome.kernel.start import Launch

DIFFERENT = 4
"""Exit code where the same rows give another score, beyond noise."""


@click.command("rerun")
@click.argument("run")
@click.option("--attempt", required=True, metavar="K", help="Whose program runs again (see `gome show RUN`).")
@click.option("--task", default="", metavar="TASK", help="Data to run it on, as for `gome run` (default RUN's own).")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), metavar="N", help="Another seed than the recorded one.")
@click.option("--time", "time", default="", metavar="T", help="Time limit, e.g. 90s, 2h (default the recorded one).")
@click.option("--cores", type=click.IntRange(1), default=1, metavar="N", help="Cores and threads for it (default 1).")
@click.option("--debug", is_flag=True, help="A debug execution on a sample: whether it runs at all.")
@nats_option
@json_option
def rerun(run: str, nats: str, as_json: bool, time: str, **flags: Any) -> None:
    """Run the program of an attempt of RUN (an id or an archive) again and compare the scores.

    It runs in the sandbox as anybody's code: no network, never answered from the cache. The current folder holds
    `input/` with train.csv, test.csv, sample_submission.csv and folds.csv, and nothing else; other paths, such as
    /kaggle/input/…, do not exist there. What happens is a run of its own, to be shown and verified.

    Ends with 0, with 1 if the program fails, with 4 if it scores differently on the same rows beyond noise.
    """

    from anyio import to_thread

    async def work() -> tuple[str, Trajectory, float | None]:
        from gome.kernel.connect import connect
        from gome.kernel.diagnostics import configure
        from gome.kernel.rerunning import Wanted, begin, recorded, written
        from gome.kernel.settings import load, seconds
        from gome.kernel.start import Launcher

        wanted = Wanted(**flags, seconds=seconds(time) if time else None)
        settings = load(flags={"nats": nats or None})
        configure(settings.log_level)
        async with reading(run, nats) as (source, name), connect(settings) as connection:
            found = await recorded(source, name, wanted.attempt)
            async with Launcher(connection, settings) as launcher:
                launch = await begin(launcher, source, found, wanted)
                if not as_json:
                    say(f"run {launch.run}: {wanted.attempt} of {name} again, on {_task(launch)}")
                await _drive(launch)
                t = launch.live.state.trajectory
                attempt = t.attempts.get(wanted.attempt, t.baseline)
                return launch.run, t, await to_thread.run_sync(written, connection.artifacts, attempt)

    again, t, wrote = complete(work)
    raise SystemExit(_conclude(again, t, wrote, as_json))


def _task(launch: Launch) -> str:
    started = launch.live.state.started
    assert started is not None
    return f"{started.task.name}, {started.task.rows_train:,} training rows"


async def _drive(launch: Launch) -> None:
    """Drive the run; an interruption ends the program and leaves the run open."""
    import anyio

    async def interrupted() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                launch.session.suspend("interrupted")

    async with anyio.create_task_group() as group:
        group.start_soon(interrupted)
        await launch.drive()
        group.cancel_scope.cancel()


def _conclude(run: str, t: Trajectory, wrote: float | None, as_json: bool) -> int:
    """Print what came of it and return the exit code."""
    said, asked = t.compared, t.rerun
    assert asked is not None and t.started is not None
    if said is None:
        reason = t.finished.reason if t.finished else t.suspended
        if as_json:
            emit({"run": run, "outcome": "stopped" if t.finished else "open", "reason": reason})
        elif t.finished:
            say(f"run {run} was stopped: {reason}")
        else:
            say(f"run {run} is left open ({reason}); go on with: gome run --resume {run}")
        return 1 if t.finished else 130
    attempt = t.attempts.get(said.attempt, t.baseline)
    done = attempt.execution if attempt else None
    code = {"failed": 1, "different": DIFFERENT}.get(said.outcome, 0)
    if as_json:
        emit(
            {
                "run": run,
                "source": asked.source,
                "task": t.started.task.name,
                "metric": t.started.task.metric.name,
                "basis": asked.basis,
                "purpose": asked.purpose,
                "seed": asked.seed,
                "seconds": done.seconds if done else None,
                "traceback": done.traceback if done else "",
                "written": wrote,
                **{name: getattr(said, name) for name in said.__struct_fields__},
            }
        )
        return code
    metric = t.started.task.metric.name
    print(f"{said.outcome}: {said.reason.partition(chr(10))[0]}")
    if said.recorded is not None:
        print(f"  recorded    {metric} {cell(said.recorded)}" + _se(asked.recorded_se))
    if said.score is not None:
        print(f"  again       {metric} {cell(said.score)}" + _se(said.score_se))
    if said.difference is not None:
        print(f"  difference  {said.difference:+.5f}" + _se(said.se) + ", positive better")
    if wrote is not None and said.score is None:
        print(f"  written     {cell(wrote)} (scores.csv: the program's own claim, unchecked)")
    if said.claim is not None and said.score is None:
        print(f"  printed     {cell(said.claim)} (the program's own claim, unchecked)")
    if done is not None:
        print(f"  took        {duration(done.seconds)}, {done.peak_mb:.0f} MB, seed {asked.seed}, {asked.purpose}")
        if not done.ok and done.traceback:
            print("\n" + "\n".join(f"    {line}" for line in done.traceback.splitlines()))
    print(f"  more        gome show {run}    gome verify {run}")
    return code


def _se(value: float | None) -> str:
    return "" if value is None else f" ± {cell(value)}"

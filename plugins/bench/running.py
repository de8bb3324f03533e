"""`gome bench SUITE`: plan it, say what it takes, run it or go on with it, and print what came out."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import anyio
import click
import msgspec

from gome.kernel.cli.opening import json_option, nats_option
from gome.kernel.cli.output import duration, emit, table
from gome.kernel.cli.signals import rest_on_signals
from gome.kernel.connect import Connection, connect
from gome.kernel.diagnostics import configure
from gome.kernel.errors import UsageError
from gome.kernel.log_checks import check_name
from gome.kernel.request import prepared_task
from gome.kernel.settings import Settings, load
from gome.kernel.start import Launch, Launcher
from gome.plugins.bench.delegating import Delegating
from gome.plugins.bench.estimate import Estimate, estimate, rates
from gome.plugins.bench.launch import Conductor, go_on, open_bench, request_of
from gome.plugins.bench.planning import Plan, plan
from gome.plugins.bench.progress import BEAT, Progress
from gome.plugins.bench.reading import recorded
from gome.plugins.bench.rows import rows
from gome.plugins.bench.suite import played, read_suite, shipped
from gome.plugins.bench.table import Row

MANY = 60
"""Cells up to which the end of a bench lists each of them."""


@click.command("run")
@click.argument("suite", required=False, default="")
@click.option("--dry-run", is_flag=True, help="Show the cells, what they may take and cost; start nothing.")
@click.option("--parallel", type=click.IntRange(1, 1000), metavar="N", help="Runs at once (default: what fits here).")
@click.option("--run", "run_id", default="", metavar="ID", help="Id of the bench; one of this id goes on.")
@click.option("--resume", default="", metavar="ID", help="Go on with a bench, as it was planned.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One setting for all runs, e.g. guard.seeds=1.")
@click.option("--unsafe", is_flag=True, help="Run programs without a sandbox where none can be made.")
@click.option("--service", is_flag=True, help="Let services (`gome serve`) drive the runs.")
@nats_option
@json_option
def run(suite: str, resume: str, as_json: bool, **flags: Any) -> None:
    """Run SUITE: the name of one that ships (`gome bench` lists them), or a file SUITE.toml.

    The same command again goes on with a bench of the same plan that has not ended, after Ctrl-C or a crash: cells that
    have ended are not run again, those that were cut off go on where their logs end.
    """
    if not suite and not resume:
        if flags["dry_run"] or flags["run_id"]:
            raise UsageError("name a suite: one that `gome bench` lists, or a file")
        _list(as_json)
        return
    if suite and resume:
        raise UsageError(f"--resume {resume} goes on with that bench as it was planned; leave out {suite}")
    if resume and (flags["sets"] or flags["dry_run"] or flags["run_id"]):
        raise UsageError(f"bench {resume} is planned already; with --resume leave out --set, --run and --dry-run")
    if flags["run_id"]:
        check_name("run id", flags["run_id"])
    settings = load(flags={"nats": flags["nats"] or None}, sets=flags["sets"])
    configure(settings.log_level)
    settings.export_secrets()
    planned = plan(read_suite(suite), settings, flags["sets"], flags["parallel"]) if suite else None
    if planned is not None and flags["dry_run"]:
        anyio.run(_dry_run, settings, planned, as_json)
        return
    if flags["service"] and flags["unsafe"]:
        raise UsageError("--unsafe is for this machine; with --service, services and workers decide that for theirs")
    kind = Delegating if flags["service"] else Conductor
    run_id, unsafe = resume or flags["run_id"], flags["unsafe"]
    code = anyio.run(_run, settings, planned, run_id, flags["parallel"], kind, unsafe, as_json)
    raise SystemExit(code)


def _list(as_json: bool) -> None:
    """The suites that ship."""
    found = [(name, read_suite(name)) for name in shipped()]
    for name, suite in found:
        if as_json:
            emit({"suite": name, "about": suite.about, "hypothesis": suite.hypothesis})
        else:
            click.echo(f"{name:<10} {suite.about}")
    if not as_json:
        click.echo(f"\nplayed in the recorded world, on a virtual clock: {', '.join(played())}")
        click.echo("gome bench SUITE --dry-run   shows its cells and what they take; a file of your own ends in .toml")


async def _dry_run(settings: Settings, planned: Plan, as_json: bool) -> None:
    async with connect(settings) as connection:
        await Conductor(connection, settings).check_tasks(planned)
        known = await rates(connection, planned)
        asks = any(p.role == "completion" for r in planned.resolved for p in r.plugins)
        request = request_of(planned.cells[0], "", False)
        task = (await prepared_task(connection, request))[0] if asks else None
    found = estimate(planned, known, task)
    if as_json:
        _emit_plan(planned, found)
        return
    suite = planned.suite
    print(f"{suite.name}: {suite.about}" if suite.about else suite.name)
    if suite.hypothesis:
        print(f"  hypothesis: {suite.hypothesis}")
    parts = [f"{len(suite.all_tasks())} tasks", f"{len(planned.treatments)} treatments", f"{len(suite.seeds)} seeds"]
    if len(suite.split_seeds) > 1:
        parts.append(f"{len(suite.split_seeds)} splits")
    print(f"  {' × '.join(parts)} = {len(planned.cells)} cells, {planned.parallel} at once; plan {planned.digest[:12]}")
    print(f"  budget of each: {_budget(planned)}")
    for said in (*found.how, *(f"note: {notice}" for notice in planned.notices)):
        print(f"  {said}")
    print()
    shown = planned.cells if len(planned.cells) <= MANY else planned.cells[:MANY]
    columns = ["cell", "task", "split", "treatment", "seed", "digest"]
    table(
        columns, [[n, c.task_name, c.split, c.treatment.label, c.seed, c.digest[:12]] for n, c in enumerate(shown, 1)]
    )
    if len(shown) < len(planned.cells):
        print(f"… and {len(planned.cells) - len(shown)} more (--json lists all)")
    print("\ndry run: nothing was started")


def _budget(planned: Plan) -> str:
    budget = planned.suite.run_budget()
    said = []
    for name in (planned.suite.budget.currency, *planned.suite.budget.limits):
        value = getattr(budget, name)
        unit = name.replace("_", " ")
        said.append(duration(value) if name == "seconds" else f"{value:g} {'USD' if name == 'money' else unit}")
    return said[0] + (f" (and at most {', '.join(said[1:])})" if said[1:] else "")


def _emit_plan(planned: Plan, found: Estimate) -> None:
    suite = planned.suite
    emit(
        {
            "suite": suite.name,
            "hypothesis": suite.hypothesis,
            "plan": planned.digest,
            "cells": len(planned.cells),
            "treatments": len(planned.treatments),
            "parallel": planned.parallel,
            "budget": suite.run_budget(),
            "currency": suite.budget.currency,
            "estimate": found,
            "notices": planned.notices,
        }
    )
    for number, cell in enumerate(planned.cells, 1):
        plain = msgspec.to_builtins(cell)
        emit({"cell": number, "name": cell.name, **plain})


async def _run(
    settings: Settings,
    planned: Plan | None,
    run: str,
    parallel: int | None,
    kind: type[Conductor],
    unsafe: bool,
    as_json: bool,
) -> int:
    from gome.plugins.bench import plugin

    async with connect(settings) as connection, Launcher(connection, settings) as launcher:
        conductor = kind(connection, settings, unsafe)
        bound = dataclasses.replace(plugin, perform=conductor.perform)
        if planned is None:
            launch = await go_on(launcher, bound, conductor, run, parallel)
        else:
            launch = await open_bench(launcher, bound, conductor, planned, run, parallel)
        progress = Progress(await recorded(connection, launch.run), conductor, as_json=as_json)
        conductor.tell = lambda text: progress.say(f"  {text}")
        if launch.live.state.finished is None:
            progress.begin()
            for notice in planned.notices if planned is not None and launch.fresh else ():
                progress.say(f"  note: {notice}")
            await _drive(launch, progress)
        return await _conclude(connection, launch, progress, as_json)


async def _drive(launch: Launch, progress: Progress) -> None:
    launch.live.observers.append(progress.observe)
    async with anyio.create_task_group() as group:
        group.start_soon(rest_on_signals, launch)
        group.start_soon(_beat, progress)
        await launch.drive()
        group.cancel_scope.cancel()


async def _beat(progress: Progress) -> None:
    while True:
        await anyio.sleep(BEAT)
        progress.beat()


async def _conclude(connection: Connection, launch: Launch, progress: Progress, as_json: bool) -> int:
    state, bench = launch.live.state, progress.bench
    ended = len(bench.ended)
    if state.finished is None:
        progress.say(
            f"bench {launch.run} is left open ({state.suspended}): {ended} of {len(bench.cells)} cells have ended; "
            f"go on with: gome bench --resume {launch.run}"
        )
        if as_json:
            emit({"bench": launch.run, "outcome": "open", "ended": ended, "cells": len(bench.cells)})
        return 130
    found = await rows(connection, launch.run)
    outcome, reason = state.finished.outcome, state.finished.reason
    if as_json:
        for row in found:
            emit(row)
        emit({"bench": launch.run, "outcome": outcome, "ended": ended, "cells": len(bench.cells)})
    else:
        _print(found)
        words = f"{outcome} ({reason})" if reason else outcome
        print(f"\nbench {launch.run}: {words}, {ended} of {len(bench.cells)} cells have ended")
        print(f"  gome report {launch.run}    gome bench table {launch.run} FILE.parquet    gome verify {launch.run}")
    sys.stdout.flush()
    return 1 if outcome == "failed" else 0


def _print(found: list[Row]) -> None:
    if not 0 < len(found) <= MANY:
        return
    columns = ["task", "search", "model", "profile", "factors", "seed", "outcome", "validation", "hidden", "baseline"]
    columns += ["steps", "time"]
    lines = []
    for row in found:
        factors = " ".join(f"{name}={level}" for name, level in row.factors.items())
        what = [row.task, row.search, row.model, row.profile, factors, row.seed, row.outcome]
        lines.append([*what, row.validation, row.hidden, row.baseline, row.steps, duration(row.seconds)])
    used = [i for i, name in enumerate(columns) if name not in ("model", "factors") or any(line[i] for line in lines)]
    shown = [columns[i] for i in used]
    print()
    table(
        shown, [[line[i] for i in used] for line in lines], right=("seed", "validation", "hidden", "baseline", "steps")
    )

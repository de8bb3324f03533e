"""Performs `ExecutionRequested`: lays out the world of a program, has it run in a sandbox, takes what it leaves.

Reconciled, not repeated: a manifest that an earlier attempt at the same intent has finished is its result. All
failures of the program are results too; what raises here is a machine that cannot isolate or a store that fails.
"""

from __future__ import annotations

import json
import os
import platform
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec

from gome.events import Artifact, Cost, Event, ExecutionFinished, ExecutionRequested, Limits, Text
from gome.kernel.plugin import Context, Result
from gome.plugins.runner.sandbox import (
    cards,
    cgroup,
    failures,
    outputs,
    plan,
    processes,
    sample,
    telemetry,
    usage,
    world,
)
from gome.plugins.runner.sandbox.cache import PURPOSES, Cache, key_of
from gome.plugins.runner.sandbox.early import below
from gome.plugins.runner.sandbox.forecast import full_seconds
from gome.plugins.runner.sandbox.interpreter import Interpreter, interpreter
from gome.plugins.runner.sandbox.nvml import Card
from gome.plugins.runner.sandbox.probe import SandboxReport, probe
from gome.plugins.runner.sandbox.settings import Settings, settings_of
from gome.plugins.runner.sandbox.starting import zygote
from gome.plugins.runner.sandbox.trust import permit, vouched_for
from gome.plugins.runner.sandbox.workdir import Manifest, Workdir

ROOM_MB = 48
"""What the sandbox's own processes may take inside the cgroup on top of the program's memory."""


async def perform(event: Event, ctx: Context) -> Result:
    """Run one execution to its end, or collect the one that has been run already."""
    intent = event.payload
    assert isinstance(intent, ExecutionRequested)
    settings = settings_of(ctx.settings)
    work = Workdir(ctx.workdir)
    if found := work.finished(event.id):
        return Result(found.result, found.cost)
    warm = settings.start == "warm" and not settings.python and await warmed(ctx)
    report = await anyio.to_thread.run_sync(probe, settings.isolation, warm)
    permit(intent, ctx, report)
    python = await anyio.to_thread.run_sync(interpreter, settings.python)
    limits = limits_of(intent, ctx)
    card = cards.granted(ctx, limits)
    cache, key = Cache(ctx.home / "cache" / "executions"), ""
    if settings.cache and not settings.python and intent.purpose in PURPOSES:  # who knows what is installed there
        key = await anyio.to_thread.run_sync(_key, intent, ctx, settings, report, card)
        if known := await anyio.to_thread.run_sync(cache.find, key, intent, limits, ctx.artifacts):
            return Result(known, Cost())
    sampled = await anyio.to_thread.run_sync(lay_out, work, intent, ctx, settings, report)
    meter = telemetry.meter(card, limits.gpu_share, work.folder)
    group = make_group(work, limits, settings)
    bar = limits.bar if intent.purpose == "full" else None
    try:
        with meter:
            ended = await processes.run(
                _plan(work, intent, ctx, settings, report, limits, group, card),
                work.folder,
                limits,
                box=work.box,
                group=group,
                cancelled=ctx.cancelled,
                keep=settings.output_kb << 10,
                cap=settings.stream_mb << 20,
                warm=warm and forkable(intent, ctx, report),
                metrics=(ctx.started.task.metric.name,),
                hopeless=lambda: bar is not None and below(bar, work.box),
                exceeded=meter.exceeded,
            )
    finally:
        if group:
            group.remove()
    done = partial(settle, event, ctx, work, ended, limits, sampled, python, keep=settings.keep, **meter.fields())
    result = await anyio.to_thread.run_sync(done)
    if key and isinstance(result.payload, ExecutionFinished):
        await anyio.to_thread.run_sync(cache.keep, key, result.payload)
    return result


async def warmed(ctx: Context) -> bool:
    """Wait for the zygote; whether it has come up. Where it has not, everything starts cold, and the log says why."""
    known = zygote.problem
    problem = await anyio.to_thread.run_sync(zygote.ready)
    if problem and not known:
        ctx.log.warning("programs start cold: the warm process did not come up", why=problem)
    return not problem


def _key(intent: ExecutionRequested, ctx: Context, settings: Settings, report: SandboxReport, card: Card | None) -> str:
    device = card.name if card else "cpu"
    return key_of(intent, ctx.started.task, settings, device=device, isolated=report.kind != "none")


def forkable(intent: ExecutionRequested, ctx: Context, report: SandboxReport) -> bool:
    """Whether a program may be forked from the zygote. Bubblewrap must execute what it encloses; and where there is no
    sandbox, what nobody vouches for must not come near the process that the next one is forked from."""
    return report.kind == "namespaces" or (report.kind == "none" and vouched_for(intent, ctx))


def limits_of(intent: ExecutionRequested, ctx: Context) -> Limits:
    """What was asked for, cut to the time that the run has left."""
    if ctx.deadline is None:
        return intent.limits
    return msgspec.structs.replace(intent.limits, seconds=max(0.0, min(intent.limits.seconds, ctx.deadline)))


def settle(
    event: Event,
    ctx: Context,
    work: Workdir,
    ended: processes.Ended,
    limits: Limits,
    sampled: int,
    python: Interpreter,
    *,
    keep: bool,
    **facts: Any,
) -> Result:
    """After the end of a program: take its files, say what came of it, and record that durably before anybody is told.
    `facts` replace fields of the result."""
    task, intent = ctx.started.task, event.payload
    assert isinstance(intent, ExecutionRequested)
    collected = outputs.collect(work.box, ctx.artifacts, limits.disk_mb << 20, task.metric.name)
    streams = outputs.whole_streams(ended.whole, host_paths(work.box, python), ctx.artifacts)
    payload = finished(intent, ended, collected, streams, limits, work, sampled, task.rows_train, python)
    payload = msgspec.structs.replace(payload, **facts)
    cost = Cost(seconds=round(ended.seconds, 4), cpu_seconds=round(ended.cpu_seconds, 4))
    if payload.failure != "cancelled":
        work.finish(Manifest(event.id, payload, cost), keep=keep)
    return Result(payload, cost)


def lay_out(work: Workdir, intent: ExecutionRequested, ctx: Context, settings: Settings, report: SandboxReport) -> int:
    """Make the execution's folders and put program and inputs into place. A debug execution gets sampled tables;
    returns how many training rows are in them, 0 for whole ones."""
    work.fresh()
    sampled = 0
    sources = work.lay_out(str(intent.program), intent.inputs, ctx.artifacts)
    if intent.purpose == "debug" and "train.csv" in sources:
        written = sample.write_sample(ctx.started.task, sources, work.inputs, settings)
        sampled = written["train.csv"]
        sources = {name: path for name, path in sources.items() if name not in written}
    for name, source in sources.items():
        work.place(name, source, linked=report.kind != "none")
    if report.kind == "none":
        work.join_inputs()
    elif plan.privileged():
        work.hand_over(plan.outer_id())
    return sampled


def make_group(work: Workdir, limits: Limits, settings: Settings) -> cgroup.Group | None:
    """A cgroup with the memory limit, where one can be made; its folder is noted for a successor to remove."""
    place = cgroup.find() if settings.cgroups else None
    if not isinstance(place, cgroup.Place):
        return None
    try:
        group = cgroup.make(place, limits.memory_mb + ROOM_MB, limits.processes)
    except OSError:
        return None  # the watchdog is there
    (work.folder / "group.json").write_text(json.dumps(str(group.folder)))
    return group


def _plan(
    work: Workdir,
    intent: ExecutionRequested,
    ctx: Context,
    settings: Settings,
    report: SandboxReport,
    limits: Limits,
    group: cgroup.Group | None,
    card: Card | None,
) -> dict[str, Any]:
    isolated = report.kind != "none"
    python = interpreter(settings.python)
    parts: dict[str, Any] = {
        "env": plan.environment(
            home=plan.WORK if isolated else str(work.box),
            seed=intent.seed,
            partition=intent.partition,
            debug=intent.purpose == "debug",
            gpu=cards.environment(card, limits.gpu_share, python.versions.get("torch", "")),
            threads=len(ctx.slot) or limits.cores,
            python=python,
        ),
        "cpus": list(ctx.slot),
        "cgroups": [group.joining] if group else [],
        "rlimits": plan.rlimits(limits, tasks=_foreign_tasks(isolated)),
    }
    # -u: what was printed before a kill is worth having; faulthandler: so is where a crash in C happened.
    command = [python.executable, "-u", "-X", "faulthandler", "program.py"]
    if not isolated:
        return plan.plan("none", work.folder, command, limits, **parts)
    hide = (*world.HIDDEN, *settings.hide)
    parts["graphics"] = world.graphics(card.minor) if card else ()
    return plan.enclosed(report.kind, work.folder, command, limits, hide=hide, home=ctx.home, python=python, **parts)


def _foreign_tasks(isolated: bool) -> int:
    """Tasks that count against the limit of processes although they are not the program's: all of the user's, unless a
    user namespace counts its own (Linux 5.14) or the program has a user id to itself."""
    version = [int(part) for part in platform.release().split("-")[0].split(".")[:2] if part.isdigit()]
    alone = isolated and (plan.privileged() or version >= [5, 14])
    return 0 if alone else usage.tasks_of(os.geteuid())


def finished(
    intent: ExecutionRequested,
    ended: processes.Ended,
    collected: outputs.Collected,
    streams: dict[str, Artifact],
    limits: Limits,
    work: Workdir,
    sampled: int,
    rows: int,
    python: Interpreter,
) -> ExecutionFinished:
    """The event: how it ended, which class of failure that is, and what it left."""
    places = host_paths(work.box, python)
    stderr = "\n".join([failures.clean(ended.stderr, places), *(f"[gome] {remark}" for remark in collected.remarks)])
    failure, error = failures.classify(ended, collected.missing, limits)
    ok = failure == ""
    exception, traceback = failures.exception_of(ended)
    forecast = full_seconds(ended.seconds, sampled, rows, collected.diagnostics, warm=ended.warm)
    return ExecutionFinished(
        attempt=intent.attempt,
        purpose=intent.purpose,
        ok=ok,
        exit_code=ended.exit_code,
        signal=ended.signal,
        failure=failure,
        error=failures.clean(error, places),
        stdout=Text.of(failures.clean(ended.stdout, places)),
        stderr=Text.of(stderr.strip("\n")),
        seconds=round(ended.seconds, 4),
        cpu_seconds=round(ended.cpu_seconds, 4),
        peak_mb=round(ended.peak_mb, 1),
        outputs=collected.outputs,
        diagnostics=collected.diagnostics,
        program=intent.program.digest,
        seed=intent.seed,
        partition=intent.partition,
        masked_fold=intent.masked_fold,
        versions=python.versions,
        sampled=sampled,
        warm=ended.warm,
        startup=round(ended.startup, 4),
        estimated_seconds=round(forecast, 1) if ok else 0.0,
        exception=exception,
        traceback=failures.clean(traceback, places),
        streams=streams,
    )


def host_paths(box: Path, python: Interpreter) -> list[tuple[str, str]]:
    """Paths of this machine that tracebacks show, and what to write instead."""
    found = [(f"{path}/", "") for path in python.paths.values()]
    found += [(f"{box}/", ""), (f"{plan.WORK}/", ""), (str(box), plan.WORK), (python.executable, "python")]
    return list(dict.fromkeys(found))

"""`gome run`: start or resume a run, show it, and print its result."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import click
import msgspec

from gome.events import Budget
from gome.kernel.api import Done, Watcher, execute
from gome.kernel.cli.progress import Progress
from gome.kernel.cli.signals import rest_on_signals
from gome.kernel.diagnostics import configure
from gome.kernel.discovery import choose, discover
from gome.kernel.errors import UsageError
from gome.kernel.forecast import forecast
from gome.kernel.log_checks import check_name
from gome.kernel.profiles import find_profile
from gome.kernel.report import executed, headline, number, spent
from gome.kernel.request import DEFAULT_PROFILE, DEFAULT_SECONDS, Request, prepare, resolve_settings
from gome.kernel.results import Summary, check_place
from gome.kernel.settings import Settings, load, seconds
from gome.kernel.start import Launch
from gome.kernel.tasks import TaskOptions


@click.command("run")
@click.argument("task", required=False, default="")
@click.option("--run", "run_id", default="", metavar="ID", help="Id of the run; an open run of this id goes on.")
@click.option("--resume", default="", metavar="ID", help="Go on with an open run.")
@click.option("--time", "time", default="", metavar="T", help="Budget of time, e.g. 90s, 3m, 1h (default 3m).")
@click.option("--steps", type=click.IntRange(1), metavar="N", help="Budget of steps (no time limit unless --time).")
@click.option("--traces", type=click.IntRange(1, 1000), metavar="N", help="Branches side by side (default 3).")
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of every draw and model.")
@click.option("--search", default="", metavar="NAME", help="Search plugin (see `gome plugins`).")
@click.option("--reasoner", default="", metavar="NAME", help="Reasoner plugin.")
@click.option(
    "--completions", default="", metavar="NAME", help="Who asks models; recorded:RUN answers from a recorded run."
)
@click.option("--fallback", default="", metavar="NAME", help="Reasoner that goes on when the model is gone for good.")
@click.option("--model", default="", metavar="NAME", help="Language model that is asked.")
@click.option("--base-url", default="", metavar="URL", help="Where it is asked (any OpenAI-compatible endpoint).")
@click.option(
    "--share",
    type=click.Choice(["none", "schema", "sample"]),
    help="What prompts may hold of the data (default schema: no rows).",
)
@click.option("--profile", default="", metavar="NAME", help="Named set of settings (default robust).")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One setting, e.g. mutator=llm, guard.seeds=1.")
@click.option("--split-seed", type=int, metavar="N", help="Another split into training and hidden rows.")
@click.option("--max-cost", type=float, metavar="USD", help="Budget of money.")
@click.option("--max-tokens", type=int, metavar="N", help="Budget of tokens.")
@click.option("--target", default="", metavar="COL", help="Own table: the column to predict.")
@click.option("--test", type=click.Path(path_type=Path), metavar="CSV", help="Own table: rows to predict.")
@click.option("--metric", default="", metavar="M", help="Own table: metric, e.g. rmse, roc_auc.")
@click.option("--id", "id_column", default="", metavar="COL", help="Own table: column that names rows.")
@click.option("--group", default="", metavar="COL", help="Own table: rows of one group stay together.")
@click.option("--time-column", default="", metavar="COL", help="Own table: train on the past, test on the future.")
@click.option("--drop", multiple=True, metavar="COL", help="Own table: a column that models must not see.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where the result folder goes (default .).")
@click.option("--nats", default="", metavar="URL", help="Use this NATS server instead of the embedded one.")
@click.option("--artifacts", default="", metavar="URL", help="Where artifacts are kept (a folder, s3://BUCKET/PREFIX).")
@click.option("--memory", is_flag=True, help="Keep the log in memory only; nothing to resume or replay.")
@click.option("--unsafe", is_flag=True, help="Run programs without a sandbox where none can be made.")
@click.option("--dry-run", is_flag=True, help="Prepare and check, show what would run, start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Lines for machines on stdout.")
def run(**flags: Any) -> None:
    """Optimise TASK: a name (`gome tasks`), a table (train.csv --target price) or a folder with a task.toml."""
    chosen = {name: flags[name] or None for name in ("nats", "artifacts", "profile", "fallback", "traces")}
    settings = load(flags=chosen, sets=flags["sets"], profiles=find_profile)
    configure(settings.log_level)
    settings.export_secrets()
    as_json = bool(flags["as_json"])
    if bool(flags["task"]) == bool(flags["resume"]):
        raise UsageError("name a task to start (`gome run ames`) or a run to go on with (`gome run --resume ID`)")
    request = _request(flags, settings)
    out = flags["out"]
    if flags["dry_run"]:
        check_place(out or Path.cwd())
        _dry_run(settings, request, as_json)
        return

    def say(text: str) -> None:
        if not as_json:
            print(text, file=sys.stderr, flush=True)

    resume, memory, watch = flags["resume"], flags["memory"], watching(as_json=as_json)
    done = anyio.run(lambda: execute(settings, request, resume=resume, memory=memory, out=out, watch=watch, say=say))
    raise SystemExit(conclude(done, as_json=as_json))


def watching(*, as_json: bool) -> Watcher:
    """Progress and signals around the drive of a run, as `execute` wants them."""

    @contextlib.asynccontextmanager
    async def watch(launch: Launch) -> AsyncIterator[None]:
        progress = Progress(launch.live, json=as_json)
        launch.session.tell = progress.tell
        if launch.fresh and not as_json:
            print(f"run {launch.run}  (`gome tail {launch.run}` watches it from elsewhere)", file=sys.stderr)
            for finding in launch.findings:
                if finding.level != "info":
                    print(f"  {finding}", file=sys.stderr)
        async with anyio.create_task_group() as group:
            group.start_soon(rest_on_signals, launch)
            with progress.shown():
                yield
            group.cancel_scope.cancel()

    return watch


def _request(flags: dict[str, Any], settings: Settings) -> Request:
    time: str = flags["time"]
    budget = Budget(
        seconds=seconds(time) if time else (None if flags["steps"] else DEFAULT_SECONDS),
        steps=flags["steps"],
        money=flags["max_cost"],
        tokens=flags["max_tokens"],
    )
    options = TaskOptions(
        target=flags["target"],
        test=flags["test"],
        metric=flags["metric"],
        id=flags["id_column"],
        group=flags["group"],
        time_column=flags["time_column"],
        drop=tuple(flags["drop"]),
        split_seed=flags["split_seed"],
    )
    asking, _, recording = str(flags["completions"]).partition(":")
    tables = dict(settings.plugins)
    if flags["share"]:
        tables["completion"] = {**tables.get("completion", {}), "share": flags["share"]}
    if recording:
        tables[asking] = {**tables.get(asking, {}), "run": recording}
    named = {"search": flags["search"], "reasoner": flags["reasoner"], "completion": asking}
    return Request(
        spec=flags["task"],
        options=options,
        run=flags["run_id"],
        seed=flags["seed"],
        budget=budget,
        traces=settings.traces,
        named={**settings.roles, **{role: name for role, name in named.items() if name}},
        profile=settings.profile or DEFAULT_PROFILE,
        settings=tables,
        fallback=settings.fallback,
        recording=recording,
        model=flags["model"],
        base_url=flags["base_url"],
        unsafe=flags["unsafe"],
    )


def _dry_run(settings: Settings, request: Request, as_json: bool) -> None:
    plugins = choose(discover(), request.named)
    tables = resolve_settings(plugins, request, settings)
    if request.run:
        check_name("run id", request.run)
    prepared, findings = prepare(request, settings.home)
    shutil.rmtree(next(iter(prepared.files.values())).parent, ignore_errors=True)
    task = prepared.task
    expected = forecast(plugins, tables, task, request.budget.steps)
    plan = {
        "task": task.name,
        "kind": task.kind,
        "metric": task.metric.name,
        "rows": [task.rows_train, task.rows_test],
        "columns": len(task.columns),
        "plugins": {p.role if p.role != "plugin" else p.name: p.name for p in plugins},
        "budget": msgspec.to_builtins(request.budget),
        "capacity": settings.capacity,
        "traces": request.traces,
        "settings": tables,
        "completions": msgspec.to_builtins(expected) if as_json else expected.lines(),
        "findings": [str(f) for f in findings],
        "notices": list(prepared.notices),
    }
    if as_json:
        print(msgspec.json.encode(plan).decode())
        return
    for key, value in plan.items():
        for line in value if isinstance(value, list) and value and isinstance(value[0], str) else [value]:
            print(f"{key:10} {line if isinstance(line, str) else msgspec.json.encode(line).decode()}")
    print("dry run: nothing was started")


def conclude(done: Done, *, as_json: bool) -> int:
    """Print how a run came out and return the exit code."""
    s = done.summary
    if as_json:
        print(msgspec.json.encode(s).decode(), flush=True)
    elif s.outcome == "open":
        print(f"run {s.run} is left open ({s.reason}); go on with: gome run --resume {s.run}", file=sys.stderr)
    else:
        print(_text(s))
    if s.outcome == "open":
        return 130
    return 1 if s.outcome == "failed" else 0


def _results(folder: str) -> list[str]:
    """What a person looks at first of what a run left; one that handed in nothing has a report alone."""
    return [n for n in ("best_program.py", "submission.csv", "REPORT.md") if os.path.exists(os.path.join(folder, n))]


def _text(s: Summary) -> str:
    lines = ["", f"{s.task}: {s.outcome}" + (f" ({s.reason})" if s.reason else "")]
    lines += [f"  {line}" for line in headline(s)]
    if s.payers:
        lines += ["", "  what paid most (validation gain):"]
        lines += [f"    {number(p.gain, '+')}  {p.change}  ({p.attempt}, trace {p.trace})" for p in s.payers]
    lines += [
        "",
        f"  {s.steps} steps, {s.accepted} accepted, {executed(s)}, {s.seconds:.0f} s",
        *([f"  {asked}"] if (asked := spent(s)) else []),
        *([f"  results  {os.path.relpath(s.folder)}/   ({', '.join(_results(s.folder))})"] if s.folder else []),
        f"  more     gome show {s.run}    gome verify {s.run}",
    ]
    return "\n".join(lines)

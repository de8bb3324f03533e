"""`gome fork`: the same run up to an event, and from there on with other settings, another search or reasoner."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import click

from gome.events import Budget
from gome.kernel.api import execute
from gome.kernel.cli.run import conclude, watching
from gome.kernel.diagnostics import configure
from gome.kernel.forking import ForkRequest
from gome.kernel.profiles import find_profile
from gome.kernel.request import Request
from gome.kernel.settings import Settings, load, seconds


@click.command("fork")
@click.argument("run")
@click.option("--at", type=click.IntRange(1), metavar="N", help="Last event to share (default: as late as possible).")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One setting, e.g. loop.memory=false.")
@click.option("--profile", default="", metavar="NAME", help="Named set of settings, e.g. no-memory.")
@click.option("--search", default="", metavar="NAME", help="Another search plugin (see `gome plugins`).")
@click.option("--reasoner", default="", metavar="NAME", help="Another reasoner.")
@click.option("--seed", type=int, metavar="N", help="Another seed (default: the parent's).")
@click.option("--traces", type=click.IntRange(1, 1000), metavar="N", help="Another number of branches.")
@click.option("--time", "time", default="", metavar="T", help="Another budget of time, the shared part included.")
@click.option("--steps", type=click.IntRange(1), metavar="N", help="Another budget of steps, likewise.")
@click.option("--max-cost", type=float, metavar="USD", help="Another budget of money, likewise.")
@click.option("--max-tokens", type=int, metavar="N", help="Another budget of tokens, likewise.")
@click.option("--substitute", is_flag=True, help="Answer effects from RUN's record while they ask for the same.")
@click.option("--run", "run_id", default="", metavar="ID", help="Id of the fork.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where the result folder goes (default .).")
@click.option("--nats", default="", metavar="URL", help="Use this NATS server instead of the embedded one.")
@click.option("--unsafe", is_flag=True, help="Run programs without a sandbox where none can be made.")
@click.option("--json", "as_json", is_flag=True, help="Lines for machines on stdout.")
def fork(run: str, **flags: Any) -> None:
    """Go on from event N of RUN in a new run, which shares what came before: with what is set here, and as RUN did
    otherwise (seed, settings, plugins).

    N is rounded down to the end of a commit. `gome compare` shows where the two part.
    """
    settings = load(flags={"nats": flags["nats"] or None})
    configure(settings.log_level)
    settings.export_secrets()
    as_json, out = bool(flags["as_json"]), flags["out"]
    time = flags["time"]
    request = ForkRequest(
        parent=run,
        changes=_changes(flags, settings),
        at=flags["at"],
        run=flags["run_id"],
        seed=flags["seed"],
        budget=Budget(
            seconds=seconds(time) if time else None,
            steps=flags["steps"],
            money=flags["max_cost"],
            tokens=flags["max_tokens"],
        ),
        substitute=flags["substitute"],
        unsafe=flags["unsafe"],
    )

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    watch = watching(as_json=as_json)
    plain = Request(spec="", unsafe=request.unsafe)
    done = anyio.run(lambda: execute(settings, plain, fork=request, out=out, watch=watch, say=say))
    raise SystemExit(conclude(done, as_json=as_json))


def _changes(flags: dict[str, Any], settings: Settings) -> Settings:
    """What the command line sets, and nothing else: neither gome.toml nor variables are meant for a run that began with
    settings of its own."""
    given = {name: flags[name] or None for name in ("profile", "search", "reasoner", "traces")}
    return load(flags=given, sets=flags["sets"], environ={}, folder=settings.home, profiles=find_profile)

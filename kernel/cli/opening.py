"""What verbs over recorded runs share: the options, settings and connection, finding a run, folding it.

Everything that is slow to import is imported inside, when a verb has been chosen and its arguments were right.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gome.kernel.errors import UnknownRun, UsageError

if TYPE_CHECKING:
    from gome.kernel.connect import Connection
    from gome.kernel.state import RunState

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])

nats_option = click.option(
    "--nats", default="", metavar="URL", help="Use this NATS server instead of the embedded one."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Lines for machines.")


def over_run(function: Function) -> Function:
    """Give a verb the argument RUN (an id or an archive) and the options that all verbs over runs have."""
    return click.argument("run")(nats_option(json_option(function)))


def complete(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a verb's asynchronous part to its end."""
    import anyio

    return anyio.run(work)


@contextlib.asynccontextmanager
async def opened(nats: str = "") -> AsyncIterator[Connection]:
    """Read the settings and open log and stores for the length of the block."""
    from gome.kernel.connect import connect
    from gome.kernel.diagnostics import configure
    from gome.kernel.settings import load

    settings = load(flags={"nats": nats or None})
    configure(settings.log_level)
    async with connect(settings) as connection:
        yield connection


@contextlib.asynccontextmanager
async def reading(run: str, nats: str = "") -> AsyncIterator[tuple[Connection, str]]:
    """Open what is needed to read a run; yields a connection and the run's id. `run` is an id, or names an archive:
    `FILE.gome`, or `FILE.gome:RUN` for one of several runs in it. An archive needs neither server nor settings, and its
    connection cannot append."""
    from gome.kernel.archive import place_of

    if (place := place_of(run)) is None:
        async with opened(nats) as connection:
            yield connection, run
        return
    from gome.kernel.archive_log import archived
    from gome.kernel.diagnostics import configure

    if nats:
        raise UsageError(f"{run} is an archive, which no server keeps; leave out --nats")
    configure()
    async with archived(*place) as (connection, name):
        yield connection, name


async def must_exist(connection: Connection, run: str) -> None:
    """Raise `UnknownRun`, naming runs with similar ids, unless the log holds the run."""
    if (await connection.log.head(run)).seq:
        return
    runs = await connection.log.runs()
    near = difflib.get_close_matches(run, runs, n=3, cutoff=0.5) or [r for r in runs if run and r.startswith(run)][:3]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        hint = "`gome runs` lists what there is" if runs else "there is no run yet; `gome run ames` makes one"
    raise UnknownRun(f"there is no run {run!r} in {connection.log.name}; {hint}")


async def folded(connection: Connection, run: str) -> RunState:
    """Fold a run's record without deciding anything: what it says, by whatever plugins it was made. A snapshot, where
    there is one that fits, spares reading it from the start."""
    from gome.kernel.discovery import codec_for, discover
    from gome.kernel.snapshot import restored
    from gome.kernel.state import RunState

    await must_exist(connection, run)
    # Types that a plugin emits are shown as what they are where it is installed, as unknown ones elsewhere.
    emitting = [f.plugin for f in discover() if f.plugin is not None and f.plugin.emits]
    codec = codec_for(emitting)
    state = await restored(
        connection.snapshots, connection.log, emitting, lambda: RunState(run, codec, (), connection.artifacts.text)
    )
    async for sealed in connection.log.read(run, state.head if state.head.seq else None):
        state.apply(sealed)
    return state

"""What verbs over recorded runs share: the options, settings and connection, finding a run, folding it.

Everything that is slow to import is imported inside, when a verb has been chosen and its arguments were right.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gome.kernel.cli.output import say
from gome.kernel.errors import Forbidden, UnknownRun, UsageError

if TYPE_CHECKING:
    from gome.events import Codec, SubmissionGraded
    from gome.kernel.connect import Connection
    from gome.kernel.plugin import Plugin
    from gome.kernel.state import RunState

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])

nats_option = click.option(
    "--nats", default="", metavar="URL", help="Use this NATS server instead of the embedded one."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Lines for machines.")


class FiniteRange(click.FloatRange):
    """A number in a range, infinite ones and NaN left out: the latter lies in no range, and in every one of click's."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is no finite number", param, ctx)
        return found


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


@contextlib.asynccontextmanager
async def whole(archive: str = "", nats: str = "") -> AsyncIterator[Connection]:
    """Open everything at once: the log, or with `archive` (`FILE.gome`) every run of that file."""
    from gome.kernel.archive import place_of

    if not archive:
        async with opened(nats) as connection:
            yield connection
        return
    if (place := place_of(archive)) is None or place[1]:
        raise UsageError(f"{archive} is no archive; name a file FILE.gome, or leave it out for every run of the log")
    # Which run is named does not matter, as long as one is.
    async with reading(f"{archive}:all", nats) as (connection, _):
        yield connection


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
    from gome.kernel.snapshot import restored
    from gome.kernel.state import RunState

    await must_exist(connection, run)
    emitting, codec = _emitting(), known_types()
    state = await restored(
        connection.snapshots,
        connection.log,
        emitting,
        lambda: RunState(run, codec, (), connection.artifacts.text, views=False),
    )
    async for sealed in connection.log.read(run, state.head if state.head.seq else None):
        state.apply(sealed)
    return state


@functools.cache
def _emitting() -> list[Plugin]:
    """Plugins with event types of their own, which are shown as what they are where their plugin is installed, and as
    unknown ones elsewhere."""
    from gome.kernel.discovery import discover

    return [f.plugin for f in discover() if f.plugin is not None and f.plugin.emits]


@functools.cache
def known_types() -> Codec:
    """A codec that knows the types of `gome.events` and of the plugins that are installed here."""
    from gome.kernel.discovery import codec_for

    return codec_for(_emitting())


async def hidden_of(connection: Connection, state: RunState) -> dict[str, SubmissionGraded]:
    """Hidden grades by attempt; none before the run is finished, when they could still be of use to somebody, and none
    (with a remark) where the vault may not be read."""
    from gome.kernel.connect import grades

    if state.finished is None:
        return {}
    try:
        return await grades(connection, state.run)
    except Forbidden:
        say("(hidden scores are not shown: these credentials may not read the vault)")
        return {}

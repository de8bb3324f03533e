"""`gome stop`: ask a run to end with what it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gome.kernel.cli.opening import complete, folded, opened, over_run
from gome.kernel.cli.output import emit

if TYPE_CHECKING:
    from gome.kernel.connect import Connection


@click.command("stop")
@over_run
@click.option("--reason", default="gome stop", metavar="TEXT", help="Why; it stands in the log.")
def stop(run: str, reason: str, nats: str, as_json: bool) -> None:
    """Ask RUN to plan no further step, to select from what it has, and to end."""

    async def ask() -> str:
        async with opened(nats) as connection:
            return await _ask(connection, run, reason)

    said = complete(ask)
    if as_json:
        emit({"run": run, "said": said})
    else:
        print(said)


async def _ask(connection: Connection, run: str, reason: str) -> str:
    """Ask, unless there is nothing to stop; returns what a person should know."""
    from gome.kernel.owner import owner_of
    from gome.kernel.stopping import ask_to_stop

    state = await folded(connection, run)
    owner = owner_of(connection.home, run)
    waiting = f"{owner} ends it" if owner else f"nobody drives it here now, `gome run --resume {run}` ends it"
    match await ask_to_stop(connection, state, reason, resting=owner is None, by="gome stop"):
        case "already":
            return f"run {run} has been asked to stop already; {waiting}"
        case "finished":
            assert state.finished is not None
            return f"run {run} is finished already ({state.finished.outcome})"
        case "asked":
            return f"asked run {run} to stop; {waiting}"

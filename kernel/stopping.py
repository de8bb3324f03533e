"""Asking a run to end with what it has: for `gome stop` and for the service."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Literal

from gome.events import StopRequested, command_id
from gome.kernel.appender import Scribe
from gome.kernel.live import LiveRun

if TYPE_CHECKING:
    from gome.kernel.connect import Connection
    from gome.kernel.state import RunState


async def ask_to_stop(
    connection: Connection, state: RunState, reason: str, *, resting: bool, by: str
) -> Literal["asked", "already", "finished"]:
    """Append StopRequested to a run that has been folded, unless it was asked before or is finished; says which. While
    nobody drives it the run is at rest (`resting`), and the gap before this command is not active time."""
    if state.trajectory.stop_requested and state.finished is None:
        return "already"
    nonce = secrets.token_hex(16)
    scribe = Scribe(state.run, state.codec, connection.artifacts, by, connection.tenant)
    live = LiveRun(connection.log, state, scribe, connection.time)
    said = state.codec.saying(command_id(nonce), StopRequested(reason=reason))
    draft = live.scribe.draft("control", "client", nonce, [said], resumes=resting)
    return "finished" if await live.commit(draft, still=lambda: state.finished is None) is None else "asked"

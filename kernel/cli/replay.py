"""`gome replay`: a run as it stood at an event or a time, at once, or step by step as if it happened again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from gome.kernel.cli.opening import FiniteRange, complete, hidden_of, known_types, must_exist, over_run, reading
from gome.kernel.cli.output import duration, emit, say
from gome.kernel.errors import UsageError

if TYPE_CHECKING:
    from gome.events import Commit, SubmissionGraded
    from gome.kernel.connect import Connection
    from gome.kernel.live import Observer
    from gome.kernel.state import RunState


@click.command("replay")
@over_run
@click.option("--until", type=click.IntRange(min=1), metavar="N", help="As it stood at event N.")
@click.option("--at", "moment", default="", metavar="TIME", help="As it stood after so much active time: 30s, 2m.")
@click.option(
    "--speed",
    type=FiniteRange(min=0),
    metavar="X",
    help="Step by step, X times as fast as it happened; 0: without waiting.",
)
def replay(run: str, until: int | None, moment: str, speed: float | None, nats: str, as_json: bool) -> None:
    """Show RUN as it stood at an event or a time, or (with --speed) let it happen again before your eyes.

    Nothing is decided, performed or written. Hidden scores are shown at the end of a finished run only.
    """
    if until is not None and moment:
        raise UsageError("--until and --at both say where to stop; use one of them")
    from gome.kernel.settings_plugins import seconds

    at = seconds(moment) if moment else None
    if speed is not None:
        complete(lambda: _play(run, until, at, speed, nats, as_json))
        return

    async def look() -> tuple[str, RunState, int, dict[str, SubmissionGraded]]:
        from gome.kernel.replaying import state_at

        async with reading(run, nats) as (connection, name):
            await must_exist(connection, name)
            text = connection.artifacts.text
            state = await state_at(connection.log, name, until=until, at=at, resolve=text, codec=known_types())
            head = await connection.log.head(name)
            return name, state, head.seq, await hidden_of(connection, state)

    name, state, head, hidden = complete(look)
    _stood(name, state, head, hidden, as_json)


def _stood(run: str, state: RunState, head: int, hidden: dict[str, SubmissionGraded], as_json: bool) -> None:
    """Print a run as it stood."""
    from gome.kernel.cli.show import attempt_rows, print_attempts
    from gome.kernel.report import headline
    from gome.kernel.results import origin_of, summarise

    t = state.trajectory
    summary = summarise(run, t, hidden, state.ledger)
    rows = attempt_rows(t, hidden)
    spent = _spent(state)
    flying: list[dict[str, Any]] = [
        {
            "intent": found.event.type,
            "attempt": getattr(found.event.payload, "attempt", ""),
            "since": found.event.active,
            "starts": found.starts,
        }
        for found in state.open.values()
    ]
    if as_json:
        where = {"run": run, "position": state.head.seq, "head": head, "active": state.head.active}
        emit({**where, "summary": summary, "spent": spent, "in_flight": flying})
        for row in rows:
            emit(row)
        return
    print(f"{run} at event {state.head.seq} of {head}, {duration(state.head.active)}: {summary.outcome}")
    if origin := origin_of(t):
        print(f"  {origin}")
    for line in headline(summary):
        print(f"  {line}")
    best = f", best {t.best}" if t.best else ""
    print(f"  {summary.steps} steps, {t.ended} judged, {summary.accepted} accepted{best}")
    print("  spent: " + ", ".join(f"{name} {_amount(name, *amounts)}" for name, amounts in spent.items()))
    shown = [f"{f['intent']} {f['attempt']} since {duration(f['since'])}".replace("  ", " ") for f in flying]
    print(f"  in flight: {'; '.join(shown) or 'nothing'}")
    if rows:
        print()
        print_attempts(rows, hidden)


def _spent(state: RunState) -> dict[str, tuple[float, float | None]]:
    """What is used of each limit, and the limit (None: there is none)."""
    budget, ledger = state.ledger.budget, state.ledger
    names = ("seconds", "steps", *(n for n in budget.__struct_fields__ if n not in ("seconds", "steps")))
    amounts = {name: (round(ledger.spent(name), 3), getattr(budget, name)) for name in names}
    return {name: (used, limit) for name, (used, limit) in amounts.items() if used or limit is not None}


def _amount(name: str, used: float, limit: float | None) -> str:
    if name.endswith("seconds"):
        return duration(used) + (f" of {duration(limit)}" if limit is not None else "")
    return f"{used:,.10g}" + (f" of {limit:,.10g}" if limit is not None else "")


class Playback:
    """A recorded run in the place of one that is alive, for those who show progress."""

    def __init__(self, run: str, state: RunState, speed: float) -> None:
        self.run = run
        self.state = state
        self.observers: list[Observer] = []
        self._speed = speed
        self._at = time.monotonic()

    def take(self, state: RunState, commit: Commit) -> None:
        """Show one more commit."""
        self.state, self._at = state, time.monotonic()
        for observer in self.observers:
            observer(commit)

    def active_now(self) -> float:
        """Active seconds of the run that have been played."""
        return self.state.head.active + self._speed * (time.monotonic() - self._at)

    def seconds_left(self) -> float | None:
        """Active seconds until the budget ends, None when it does not."""
        limit = self.state.started.budget.seconds if self.state.started else None
        return None if limit is None else limit - self.active_now()


async def _play(run: str, until: int | None, at: float | None, speed: float, nats: str, as_json: bool) -> None:
    import anyio

    from gome.kernel.cli.progress import Progress
    from gome.kernel.replaying import states
    from gome.kernel.state import RunState

    async with reading(run, nats) as (connection, name):
        await must_exist(connection, name)
        codec, text = known_types(), connection.artifacts.text
        playback = Playback(name, RunState(name, codec), speed)
        with Progress(playback, json=as_json).shown():
            before: float | None = None
            async for moment in states(connection.log, name, until=until, at=at, resolve=text, codec=codec):
                if speed and before is not None and moment.active > before:
                    await anyio.sleep((moment.active - before) / speed)
                before = moment.active
                playback.take(moment.state, moment.commit)
        if before is None:
            raise UsageError(f"run {name} has no event up to there")
        if not as_json:
            say(await _ending(connection, playback.state))


async def _ending(connection: Connection, state: RunState) -> str:
    head = await connection.log.head(state.run)
    return f"(event {state.head.seq} of {head.seq}; `gome replay {state.run} --until {state.head.seq}` shows it)"

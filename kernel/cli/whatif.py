"""`gome whatif`: what another search would have picked where a recorded run's own search planned its steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gome.kernel.cli.opening import complete, must_exist, over_run, reading
from gome.kernel.cli.output import emit, table
from gome.kernel.errors import UsageError

if TYPE_CHECKING:
    from gome.events import StepPlanned
    from gome.kernel.connect import Connection
    from gome.kernel.plugin import Plugin
    from gome.kernel.settings import Settings
    from gome.kernel.whatif import Point


@click.command("whatif")
@over_run
@click.option("--search", default="", metavar="NAME", help="The search that is asked (see `gome plugins`).")
@click.option("--at", type=click.IntRange(min=1), metavar="N", help="Only at event N: what a fork there would plan.")
@click.option("--profile", default="", metavar="NAME", help="Its settings by name, e.g. aide-released.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One of its settings, e.g. aide.num_drafts=3.")
def whatif(
    run: str, search: str, at: int | None, profile: str, sets: tuple[str, ...], nats: str, as_json: bool
) -> None:
    """Show what another search would have picked in RUN (an id or an archive), and why.

    The search reads the record up to each point where the run's own search planned, and is asked in its place, with
    the same draws; nothing is performed. Points are independent: what it would have planned before did not happen, so
    this tells how two searches differ on one history, not what the other would have come to. For that, `gome fork RUN
    --at N --search NAME` goes on from event N; with --at N the steps shown are those that it would begin with.

    \b
    gome whatif ames-1126-0446-ed05 --search mlmaster
    gome whatif RUN.gome --profile aide-released --at 120 --json
    """

    async def ask() -> tuple[str, str, list[Point]]:
        from gome.kernel.cli.opening import known_types
        from gome.kernel.whatif import points

        async with reading(run, nats) as (connection, id):
            await must_exist(connection, id)
            plugin, settings = await _chosen(connection, id, search, profile, sets)
            log, text = connection.log, connection.artifacts.text
            found = [p async for p in points(log, id, plugin, settings, text, known_types(), at=at)]
            return id, plugin.name, found

    id, name, found = complete(ask)
    if as_json:
        _lines(id, name, found)
    else:
        _print(id, name, found, at)


async def _chosen(
    connection: Connection, run: str, search: str, profile: str, sets: tuple[str, ...]
) -> tuple[Plugin, dict[str, Any]]:
    """The search that is asked and its table: what RUN says for it, with what is set here on top."""
    import msgspec

    from gome.kernel.discovery import discover, plugin_of
    from gome.kernel.fork import descent
    from gome.kernel.settings import load
    from gome.kernel.settings_plugins import merged, plugin_settings

    # Neither gome.toml nor variables are meant for a run that began with settings of its own.
    flags = {"search": search or None, "profile": profile or None}
    changes = load(flags=flags, sets=sets, environ={}, folder=Path(".gome"))
    found = discover()
    known = sorted(f.name for f in found if f.role == "search")
    name = changes.roles.get("search", "")
    if not name:
        raise UsageError(f"name a search with --search, or a profile that names one; installed: {', '.join(known)}")
    plugin = plugin_of(found, "search", name)
    changes.check_profile(name, known)
    if profile and name not in (*changes.profiled, changes.profiled.get("search")):
        raise UsageError(f"profile {profile} says nothing to the search {name}: leave it out, or name one that does")
    _check(changes, name)
    recorded = (await descent(connection.log, run)).started.settings.get(name, {})
    if plugin.settings is None:
        return plugin, {}
    given = merged(recorded, changes.plugins.get(name, {}))
    settings: msgspec.Struct = plugin_settings(name, plugin.settings, given, {}, changes.origins)
    table: dict[str, Any] = msgspec.to_builtins(settings)
    return plugin, table


def _check(changes: Settings, name: str) -> None:
    """Raise `UsageError` where something is set for anybody else."""
    for key, origin in changes.origins.items():
        if not origin.profile and key.partition(".")[0] not in (name, "search", "profile"):
            raise UsageError(f"{origin}: only settings of {name} mean anything here, such as {name}.KEY=VALUE")


def _words(steps: tuple[StepPlanned, ...]) -> str:
    return ", ".join(" ".join([s.kind, "+".join(p for p in (s.parent, *s.parents) if p)]).strip() for s in steps)


def _print(run: str, name: str, found: list[Point], at: int | None) -> None:
    from gome.kernel.whatif import summary

    if at is not None:
        (point,) = found
        print(f"{run} at event {point.seen}, {point.active:.1f} s")
        for step in point.would:
            print(f"  {name} would plan {step.attempt}: {_words((step,))}: {step.reason}")
        if not point.would:
            print(f"  {name} would {_nothing(point)}")
        return
    if not found:
        print(
            f"nobody has planned a step in {run}, so there is nothing that {name} could have picked (`gome show {run}`)"
        )
        return
    rows = []
    for point in found:
        why = "; ".join(s.reason for s in point.would) or _nothing(point)
        names = ", ".join(s.attempt for s in point.planned)
        rows.append([point.seen, names, _words(point.planned), _words(point.would), point.same, why])
    table(["event", "attempt", "planned", name, "same", "why"], rows, right=["event"])
    total, same = summary(found)
    print(f"\n{name} would have picked the same at {same} of {total} points")


def _nothing(point: Point) -> str:
    return f"end: {point.ends}" if point.ends else "plan nothing here"


def _lines(run: str, name: str, found: list[Point]) -> None:
    from gome.kernel.whatif import summary

    for point in found:
        told: dict[str, Any] = {"run": run, "search": name, "event": point.seen, "active": point.active}
        told |= {"planned": point.planned, "would": point.would, "ends": point.ends}
        emit({**told, "same": point.same} if point.planned else told)
    total, same = summary(found)
    if total:
        emit({"summary": {"run": run, "search": name, "points": total, "same": same}})

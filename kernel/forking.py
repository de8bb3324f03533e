"""Making a fork: where it parts from its parent, what it does otherwise, and who is replaced for that.

`place` rounds the position asked for down to the end of a commit; `plan` turns a person's changes into `RunForked`;
`Launcher.fork` appends it and takes the new run up like any open one. Reading forks is in `gome.kernel.fork`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gome.events import Budget, Codec, Head, Origin, Payload, RunForked, RunStarted, Sealed, event_id
from gome.kernel.appender import TENANT, Scribe
from gome.kernel.discovery import OPTIONAL_ROLES, OWN, RUN_ROLES, Found, choose, codec_for, pin
from gome.kernel.errors import UsageError
from gome.kernel.fork import Descent, Joined, descent
from gome.kernel.log import EventLog
from gome.kernel.loop import TABLES
from gome.kernel.plugin import Artifacts, Plugin
from gome.kernel.replay import Verifier, check
from gome.kernel.request import Request, resolve_settings
from gome.kernel.settings import Settings
from gome.kernel.settings_plugins import merged, plugin_settings
from gome.kernel.start import plugins_of
from gome.kernel.state import RunState
from gome.kernel.tasks import SEEDS, check_seed

_THINKING = ("reasoner", "memory", "mutator", "completion")
"""Roles that go by the tables of `gome.kernel.loop`."""


@dataclass(frozen=True, kw_only=True)
class ForkRequest:
    """What somebody asks for when forking `parent` at event `at` (None: as late as possible). `changes` holds only what
    is to be otherwise than in the parent; so do `budget` (limits that are not None) and `seed`. `run` is the fork's id
    ("": a new one)."""

    parent: str
    changes: Settings
    at: int | None = None
    run: str = ""
    seed: int | None = None
    budget: Budget = field(default_factory=Budget)
    substitute: bool = False
    unsafe: bool = False

    def __post_init__(self) -> None:
        """Raises `UsageError` for a seed that is none."""
        if self.seed is not None:
            check_seed("seed", self.seed, SEEDS)


@dataclass(frozen=True)
class Place:
    """Where a fork parts: the parent's head there, its last event's id, and what is to be said about it."""

    head: Head
    last: str
    told: str = ""


@dataclass(frozen=True)
class Plan:
    """The fork's first event, its plugins, what its prefix descends from, and what is to be said about it."""

    forked: RunForked
    plugins: list[Plugin]
    descent: Descent
    told: tuple[str, ...] = ()


async def place(log: EventLog, run: str, at: int | None) -> Place:
    """Where a run can be forked, at or before an event. Raises `UnknownRun`, and `UsageError` for a position that the
    run does not have and for a run without decisions, as imported ones are."""
    found: Sealed | None = None
    end, after, finish = 0, 0, 0
    async with aclosing(log.read(run)) as records:  # type: ignore[type-var]
        async for sealed in records:
            body, end = sealed.body, sealed.last
            if body.lane == "import":
                raise UsageError(f"run {run} was imported: nobody decided it here, so nobody can go on with it")
            if any(wire.type == "RunFinished" for wire in body.events):
                finish = body.seq
            elif at is None or end <= at:
                found = sealed
            elif not after:
                after = end
    if found is None or (at is not None and at > end):
        raise UsageError(f"run {run} has the events 1 to {end}, and --at {at} is none of them")
    told = ""
    if at is not None and found.last != at:
        what = f"event {at} is behind the run's end" if finish and at >= finish else f"event {at} is within a commit"
        told = f"{what}: forked at event {found.last}, the last end of a commit before"
    return Place(found.head, found.body.events[-1].id, told)


async def plan(
    log: EventLog,
    request: ForkRequest,
    where: Place,
    found: Sequence[Found],
    resolve: Callable[[str], str],
) -> Plan:
    """What a fork says first. Raises `UsageError` for changes that mean nothing, `PluginError` for plugins that are not
    there."""
    parent = await _upto(log, request.parent, where.head.seq)
    before = parent.started
    if kind := before.kind:
        raise UsageError(
            f"run {request.parent} is of the plugin {kind}, in which nothing is searched; fork another one"
        )
    changes = request.changes
    plugins, roles, fallbacks = _chosen(found, before, changes.roles)
    budget = msgspec.structs.replace(before.budget, **_given(request.budget))
    tables, others = _tables(plugins, before, changes, budget)
    values: dict[str, Any] = {
        "seed": request.seed,
        "budget": budget,
        "traces": changes.traces if "traces" in changes.origins else None,
        "capacity": changes.capacity if "capacity" in changes.origins else None,
        "profile": changes.profile or None,
        "roles": roles,
        "fallbacks": fallbacks,
    }
    values = {k: v for k, v in values.items() if v is not None and v != getattr(before, k)}
    known = {p.name for p in before.plugins} or {p.name for p in plugins_of(before)}
    everywhere = bool({"seed", "budget", "traces", "capacity"} & set(values))
    tables_changed = any(table in others for table in TABLES)
    replaced = [
        p
        for p in plugins
        if p.name not in known
        or p.name in others
        or (_takes_part(p) and (everywhere or (tables_changed and p.role in _THINKING)))
    ]
    if any(p.role == "mutator" for p in replaced) and roles.get("mutator") != before.roles.get("mutator"):
        # What a judge awaits of a mutator that is gone never comes.
        replaced += [p for p in plugins if p.role == "judge" and p not in replaced and _reads(p, RunForked)]
    diverged = await _diverging(log, request.parent, where.head.seq, plugins, parent, replaced, resolve)
    replaced += [p for p in plugins if p.name in diverged]
    forked = RunForked(
        parent=request.parent,
        position=where.head.seq,
        hash=where.head.hash,
        substitute=request.substitute,
        settings={name: tables[name] for name in others},
        replaced=tuple(p.name for p in replaced),
        plugins=tuple(pin(p) for p in plugins),
        **values,
    )
    told = [where.told] if where.told else []
    told += [f"{name} decides otherwise today than recorded: its present self replaces it" for name in diverged]
    told += [
        f"plugin {p.name} does not read RunForked: what is open for it at the fork may stay open"
        for p in replaced
        if p.reads and not _reads(p, RunForked)
    ]
    if not replaced and not others and not values:
        told.append("nothing is changed: the fork goes on as its parent did" + _how(request.substitute))
    return Plan(forked, plugins, parent, tuple(told))


def performing(forked: RunForked, before: RunStarted, plugins: Sequence[Plugin]) -> tuple[str, ...]:
    """Those of a fork's plugins that perform otherwise than its parent's, which `before` began, did: beside an intent's
    arguments they are handed their tables, the seed, and the share of the budget that is used."""
    known = {p.name for p in before.plugins} or {p.name for p in plugins_of(before)}
    everywhere = any(getattr(forked, name) is not None for name in ("seed", "budget", "traces", "capacity"))
    thinking = _THINKING if everywhere or any(table in forked.settings for table in TABLES) else ()
    return tuple(p.name for p in plugins if p.name not in known or p.name in forked.settings or p.role in thinking)


def _how(substitute: bool) -> str:
    return ", on its recorded results" if substitute else ", with every effect performed anew"


def _given(budget: Budget) -> dict[str, Any]:
    return {name: value for name in budget.__struct_fields__ if (value := getattr(budget, name)) is not None}


def _reads(plugin: Plugin, kind: type[Payload]) -> bool:
    return bool({kind, Payload} & set(plugin.reads))


def _takes_part(plugin: Plugin) -> bool:
    """Whether a decider looks at the run's first event and can take up what is open."""
    return _reads(plugin, RunStarted) and _reads(plugin, RunForked)


async def begin(
    log: EventLog, run: str, where: Place, forked: RunForked, codec: Codec, artifacts: Artifacts, tenant: str = TENANT
) -> None:
    """Append the first record of a fork's own part. Its events' ids are computed from where it parts, so that the same
    fork made again has the same ids and draws. The time until now is not active time; on recorded results the run's
    clock stands where the parent's stood. Raises `Conflict` where there is a run of this id."""
    id = event_id(where.last, "fork", 0)
    draft = Scribe(run, codec, artifacts, "client", tenant).draft(
        "control",
        "client",
        where.last,
        [codec.saying(id, forked, corr=id)],
        resumes=True,
        origin=Origin(forked.parent, where.head.seq, where.head.hash, forked.substitute),
        at=where.head.ts if forked.substitute else None,
    )
    await log.append(draft, msgspec.structs.replace(where.head, run=run, revision=0))


async def _upto(log: EventLog, run: str, seq: int) -> Descent:
    """What a run's prefix descends from: a fork behind it says nothing about it."""
    found = await descent(log, run)
    return Descent(found.root, tuple(f for f in found.forks if f[0] <= seq))


def _chosen(
    found: Sequence[Found], before: RunStarted, wanted: Mapping[str, str]
) -> tuple[list[Plugin], dict[str, str], dict[str, str]]:
    """The fork's plugins. Whoever came with a plugin that is replaced goes with it."""
    changed = {role: name for role, name in wanted.items() if before.roles.get(role) != name}
    kept = dict(before.roles)
    named = {f.name: f.plugin for f in found if f.plugin is not None}
    for role in changed:
        old = named.get(kept.pop(role, ""))
        for partner, name in (old.pairs if old else {}).items():
            if kept.get(partner) == name:
                del kept[partner]
        new = named.get(changed[role])
        for partner in new.pairs if new else ():
            kept.pop(partner, None)
    asking = kept.pop("completion", "")
    extra = [p.name for p in before.plugins if p.role == "plugin" and p.name not in OWN] if before.plugins else None
    fallbacks = {r: n for r, n in before.fallbacks.items() if r in kept}
    plugins = choose(found, {**kept, **changed}, extra=extra, fallbacks=fallbacks)
    if asking and "completion" not in changed and any("completion" in p.needs for p in plugins):
        plugins = choose(found, {**kept, **changed, "completion": asking}, extra=extra, fallbacks=fallbacks)
    standing = set(fallbacks.values())
    roles: dict[str, str] = {
        p.role: p.name
        for p in reversed(plugins)
        if p.role in (*RUN_ROLES, *OPTIONAL_ROLES) and (p.name not in standing or fallbacks.get(p.role) != p.name)
    }
    return plugins, roles, fallbacks


def _tables(
    plugins: Sequence[Plugin], before: RunStarted, changes: Settings, budget: Budget
) -> tuple[dict[str, Any], list[str]]:
    """All tables of the fork, and the names of those that are others than the parent's."""
    if "performers" in changes.plugins:
        raise UsageError("performers cannot be changed in a fork: it is performed where its parent is")
    structs = {**TABLES, **{p.name: p.settings for p in plugins if p.settings is not None}}
    old = {name: before.settings.get(name, {}) for name in structs}
    # Tables of today's plugins may have more keys than when the parent was recorded; that alone changes nothing.
    same = {name: msgspec.to_builtins(plugin_settings(name, struct, old[name])) for name, struct in structs.items()}
    asked = {name: merged(old.get(name, {}), changes.plugins.get(name, {})) for name in {*old, *changes.plugins}}
    tables = resolve_settings(plugins, Request(spec="", settings=asked, budget=budget), changes)
    known = {p.name for p in before.plugins} | set(TABLES)
    return tables, [name for name in tables if tables[name] != same[name] or name not in known]


async def _diverging(
    log: EventLog,
    run: str,
    upto: int,
    plugins: Sequence[Plugin],
    parent: Descent,
    replaced: Sequence[Plugin],
    resolve: Callable[[str], str],
) -> list[str]:
    """The plugins that would decide the prefix otherwise today than it was decided: they cannot go on where they were,
    so that their present selves take over."""
    joined = {p.name: Joined(upto, parent.started) for p in replaced}
    state = RunState(run, codec_for(plugins), plugins, resolve, views=False, joined={**parent.joined, **joined})
    found: dict[str, None] = {}
    async with aclosing(log.read(run)) as records:  # type: ignore[type-var]
        async for sealed in records:
            if sealed.last > upto:
                break
            commit, given = state.apply(sealed)
            for cursor, answer in given:
                if check(state.codec, commit, cursor.plugin.name, answer):
                    found[cursor.plugin.name] = None
            state.answer()
    return list(found)


async def verifier_of(
    log: EventLog,
    run: str,
    resolve: Callable[[str], str],
    artifacts: Artifacts | None = None,
    *,
    stop_at_first: bool = True,
) -> Verifier:
    """A verifier of a run with today's plugins under the names that it was recorded with. In a fork, what a replaced
    plugin had decided in the prefix is verified with the plugins of the run that the prefix is from. Raises
    `UnknownRun`, `PluginError`."""
    return _verifier(await descent(log, run), run, resolve, artifacts, stop_at_first)


def _verifier(
    origin: Descent, run: str, resolve: Callable[[str], str], artifacts: Artifacts | None, stop_at_first: bool
) -> Verifier:
    plugins = plugins_of(origin.started)
    ancestor = None
    for place in range(len(origin.forks) - 1, -1, -1):
        if origin.forks[place][1].replaced:
            older = Descent(origin.root, origin.forks[:place])
            ancestor = _verifier(older, origin.forks[place][1].parent, resolve, artifacts, stop_at_first)
            break
    return Verifier(
        run,
        codec_for(plugins),
        plugins,
        resolve,
        artifacts,
        stop_at_first=stop_at_first,
        joined=origin.joined,
        ancestor=ancestor,
    )

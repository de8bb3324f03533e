"""One plugin taking over a role from another in the middle of a run: how a run outlives the model it began with.

Both plugins are pinned when the run starts. The first plays the role until `RoleHandedOver` is in the log and is silent
from then on; the second folds everything from the start, is silent until then, and is asked to take up what is open in
the same words as a plugin that replaces another in a fork (`RunForked`). `handover` is the kernel's decider that says
when: at the first completion that failed for good. Without a plugin to hand over to, it lets the run rest where it is,
so that somebody can mend the endpoint and go on. Called by `discovery.choose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from gome.events import (
    CompletionFailed,
    CompletionReceived,
    Draw,
    Event,
    Payload,
    RoleHandedOver,
    RunForked,
    RunResumed,
    RunStarted,
    RunSuspended,
)
from gome.kernel.plugin import Plugin

PATIENCE = 3
"""Completions in a row that failed for good until a run without a fallback rests."""


@dataclass
class _Part:
    """A plugin's own state, and whether its role has been handed over."""

    inner: Any
    handed: bool = False


def _read_by(plugin: Plugin, kind: type) -> bool:
    return kind in plugin.reads or Payload in plugin.reads


def _forked(event: Event) -> Event:
    """The handover as a plugin that takes over knows it."""
    return msgspec.structs.replace(event, payload=RunForked(parent="", position=event.seq, hash=""))


def _wrapped(plugin: Plugin, *, before: bool) -> Plugin:
    """The plugin with its decisions limited to the time before (or from) the handover of its role."""

    def initial() -> _Part:
        return _Part(plugin.initial())

    def ours(event: Event) -> bool:
        return isinstance(event.payload, RoleHandedOver) and event.payload.role == plugin.role

    def evolve(state: _Part, event: Event) -> _Part:
        if ours(event):
            state.handed = True
            if not before and _read_by(plugin, RunForked):
                state.inner = plugin.evolve(state.inner, _forked(event))
        elif _read_by(plugin, type(event.payload)):
            state.inner = plugin.evolve(state.inner, event)
        return state

    def decide(state: _Part, event: Event, draw: Draw) -> Sequence[Payload]:
        if state.handed == before:
            return ()
        if not ours(event):
            answers = plugin.reads if plugin.answers is None else plugin.answers
            return plugin.decide(state.inner, event, draw) if {type(event.payload), Payload} & set(answers) else ()
        return plugin.decide(state.inner, _forked(event), draw) if _read_by(plugin, RunForked) else ()

    answers = plugin.reads if plugin.answers is None else plugin.answers
    return replace(
        plugin,
        reads=tuple(dict.fromkeys((*plugin.reads, RoleHandedOver))),
        answers=answers if before else tuple(dict.fromkeys((*answers, RoleHandedOver))),
        initial=initial,
        evolve=evolve,
        decide=decide,
    )


def outgoing(plugin: Plugin) -> Plugin:
    """The plugin that plays its role until it is handed over."""
    return _wrapped(plugin, before=True)


def standby(plugin: Plugin) -> Plugin:
    """The plugin that plays its role from the handover on."""
    return _wrapped(plugin, before=False)


@dataclass
class _Watch:
    roles: dict[str, str] = field(default_factory=dict)
    fallbacks: dict[str, str] = field(default_factory=dict)
    handed: bool = False
    resting: bool = False
    fatal: int = 0


def _evolve(state: _Watch, event: Event) -> _Watch:
    match event.payload:
        case RunStarted(roles=roles, fallbacks=fallbacks):
            state.roles, state.fallbacks = roles, fallbacks
        case CompletionReceived():
            state.fatal = 0
        case CompletionFailed(fatal=True):
            state.fatal += 1
        case RoleHandedOver():
            state.handed = True
        case RunSuspended():
            state.resting = True
        case RunResumed():
            state.resting, state.fatal = False, 0
    return state


def _decide(state: _Watch, event: Event, draw: Draw) -> Sequence[Payload]:
    failed = event.payload
    if not isinstance(failed, CompletionFailed) or not failed.fatal or state.handed:
        return ()
    if state.fallbacks:
        return [
            RoleHandedOver(role=role, before=state.roles.get(role, ""), after=after, reason=failed.reason)
            for role, after in sorted(state.fallbacks.items())
        ]
    if state.fatal < PATIENCE or state.resting:
        return ()
    return [RunSuspended(reason=f"the language model cannot be asked: {failed.reason}")]


handover = Plugin(
    name="handover",
    role="plugin",
    summary="hands roles over to plugins that need no model when the model's endpoint is gone for good",
    reads=(RunStarted, CompletionFailed, CompletionReceived, RoleHandedOver, RunSuspended, RunResumed),
    answers=(CompletionFailed,),
    initial=_Watch,
    evolve=_evolve,
    decide=_decide,
    modules=("gome.kernel.handover",),
)
"""Part of every run that asks a model; its name is reserved."""

"""What is said about a run as a whole: its start with everything decisions depend on, and its end."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field, structs

from gome.events.payload import Payload
from gome.events.task import Budget, Task


class PluginPin(Struct, frozen=True, omit_defaults=True):
    """A plugin as it was when the run started: `digest` covers its package's source and `gome.events`. `flags` names
    what it does otherwise than earlier versions did; a run keeps the flags that each of its deciders began with."""

    name: str
    role: str
    version: str
    digest: str
    flags: tuple[str, ...] = ()


class RunStarted(Payload, frozen=True):
    """The first event of a run: everything that decisions depend on.

    `roles` maps a role to the plugin that plays it; `performers` maps a role to `local` or `queue`. `settings` are the
    resolved settings that plugins may read (a table per plugin), `capacity` is how many steps may be in flight.
    `fallbacks` maps a role to the plugin that plays it once its first one cannot go on (see `RoleHandedOver`).
    """

    task: Task
    seed: int
    budget: Budget = Budget()
    traces: int = 3
    capacity: int = 2
    profile: str = "robust"
    plugins: tuple[PluginPin, ...] = ()
    roles: dict[str, str] = field(default_factory=dict)
    performers: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    fallbacks: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The one plugin that a run is of, where it is of a kind of its own: nothing is searched in it and no role is
        filled; "" for all others. Its task is a name and a description then."""
        alone = len(self.plugins) == 1 and not self.roles and self.plugins[0].name == self.profile
        return self.profile if alone else ""

    def flags_of(self, plugin: str) -> tuple[str, ...]:
        """The behaviour flags in force for a plugin in this run; none where it was recorded before there were any."""
        return next((pin.flags for pin in self.plugins if pin.name == plugin), ())


class RunSuspended(Payload, frozen=True):
    """The run was left open on purpose (Ctrl-C, a decider that raises); `gome run --resume` goes on."""

    reason: str


class RunResumed(Payload, frozen=True):
    """Somebody goes on with the run; the gap before this event is not active time."""

    reason: str = ""


class PluginsChanged(Payload, frozen=True):
    """Today's plugins verified the run without divergence; their pins apply from here. Their flags do not: the run goes
    on with those that it began with, as it must to verify."""

    plugins: tuple[PluginPin, ...]


class RunForked(Payload, frozen=True):
    """First event of a fork's own part; the prefix, up to `position`, is the parent's.

    What else it names is what the fork does otherwise from here on: `settings` holds the whole tables of plugins whose
    settings are others, `roles` and `fallbacks` are given where a role is played by another plugin, `plugins` are the
    pins of the fork's own part. `replaced` names the deciders that take no part in the prefix: each folds it as if the
    run had begun with its settings, answers none of its events, and takes up here what is open.
    """

    parent: str
    position: int
    hash: str
    substitute: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()
    plugins: tuple[PluginPin, ...] = ()
    roles: dict[str, str] | None = None
    fallbacks: dict[str, str] | None = None
    seed: int | None = None
    budget: Budget | None = None
    traces: int | None = None
    capacity: int | None = None
    profile: str | None = None

    def amended(self, started: RunStarted) -> RunStarted:
        """The parent's start with this fork's changes: what decisions depend on from here."""
        names = ("plugins", "roles", "fallbacks", "seed", "budget", "traces", "capacity", "profile")
        given = {name: value for name in names if (value := getattr(self, name)) not in (None, ())}
        return structs.replace(started, settings={**started.settings, **self.settings}, **given)


class RoleHandedOver(Payload, frozen=True):
    """From here on another plugin plays a role: `before` has fallen silent for good, `after`, pinned with the run and
    silent until now, takes up every step left open. `reason` says what made it necessary."""

    role: str
    before: str
    after: str
    reason: str


class StopRequested(Payload, frozen=True):
    """A person or a limit asks for the end: no new steps, selection from what exists."""

    reason: str = ""


class BudgetExhausted(Payload, frozen=True):
    """A limit of the budget is reached; said once per limit."""

    limit: str
    spent: float
    allowed: float


class RunFinished(Payload, frozen=True):
    """The last event. `done` has a submission; `stopped` has one although it was asked to stop early; `failed` has
    none."""

    outcome: Literal["done", "stopped", "failed"]
    reason: str = ""


class NoteAdded(Payload, frozen=True):
    """A remark of a person or an observer; no decision depends on it."""

    text: str
    author: str = ""

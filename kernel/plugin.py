"""The whole extension surface: what a plugin is, and what it is handed. There is no extension point elsewhere.

A plugin is one value. Its pure half (`initial`, `evolve`, `decide`) turns events into events and is replayed; its
impure half (`perform`) touches the world and is recorded. It is found through an entry point in the group of its role
(`gome.searches`, `gome.reasoners`, …, or `gome.plugins` for the rest); the entry point names a `Plugin` or a callable
without arguments that returns one. A reasoner may instead be any object with `propose` and `reflect`
(`gome.kernel.reasoning` wraps it). Running plugins is the business of `dispatch` and `effects`, not of this file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from gome.events import (
    CompletionRole,
    Draw,
    Event,
    Intent,
    Memory,
    Payload,
    RunStarted,
    SubmissionGraded,
    Task,
    Trajectory,
)
from gome.kernel.errors import UnknownRun

if TYPE_CHECKING:
    import click
    import structlog

    from gome.events import Commit, Cost

Role = Literal[
    "search",
    "reasoner",
    "mutator",
    "runner",
    "scorer",
    "judge",
    "memory",
    "selection",
    "completion",
    "task",
    "plugin",
]

GROUPS: dict[Role, str] = {
    "search": "gome.searches",
    "reasoner": "gome.reasoners",
    "mutator": "gome.mutators",
    "runner": "gome.runners",
    "scorer": "gome.scorers",
    "judge": "gome.judges",
    "memory": "gome.memories",
    "selection": "gome.selections",
    "completion": "gome.completions",
    "task": "gome.tasks",
    "plugin": "gome.plugins",
}
"""Entry-point group of each role. A run names one plugin per role and any number from `gome.plugins`."""

Policy = Literal["repeatable", "reconcile", "at_most_once"]
"""What a crash in the middle of an effect means: do it again; look for its traces and collect; never do it again."""


@dataclass(frozen=True)
class Effect:
    """One kind of intent that a plugin performs.

    `attempts` bounds tries (a crash counts as one for all but `repeatable`); `pool` says whether it holds a part of the
    machine while it works: `cores` (as many at once as the run has capacity, each with the cores and the accelerator
    that `Intent.occupies` names) or "" (nothing, no limit but the kernel's).
    """

    intent: type[Intent]
    policy: Policy = "repeatable"
    attempts: int = 3
    pool: Literal["", "cores"] = ""


class Artifacts(Protocol):
    """Content-addressed files. `put` is durable when it returns; `get` raises `ArtifactMissing`."""

    def put(self, data: bytes) -> str: ...
    def put_file(self, path: Path) -> str: ...
    def get(self, digest: str) -> bytes: ...
    def path(self, digest: str) -> Path: ...
    def has(self, digest: str) -> bool: ...


class VaultAccess(Protocol):
    """Hidden answers and grades, handed to the scorer only. `record` is durable when it returns."""

    def answers(self, digest: str) -> bytes: ...
    async def record(self, grade: SubmissionGraded) -> None: ...


def no_history(run: str) -> AsyncIterator[Commit]:
    """The history of whoever is given no log to read."""
    raise UnknownRun(f"run {run} cannot be read from here: no log is at hand")


@dataclass(frozen=True)
class FinishedRun:
    """What a finished run of the same log has recorded for all to see: its task and its accepted attempts."""

    run: str
    task: Task
    successes: tuple[Memory, ...]


@dataclass(frozen=True)
class Context:
    """What `perform` may use. `trajectory` is the fold at the intent's own position, `started` the run's first event,
    `settings` the plugin's table in it. `workdir` is the intent's own folder, the same one after a crash. `slot` are
    the CPU cores to pin to, which nobody else has meanwhile (none for effects without a pool; fewer than the intent
    wished for where the machine has fewer), `gpu` the accelerator to use, as `Plugin.devices` names it (None: the
    intent wants none, or there is none here). `deadline` is in active seconds of the run that are left
    (None: unlimited). `call` appends a child intent, awaits and returns its result's payload; performed again after a
    crash it takes the recorded result. `cancelled` says whether the intent has been called off. `occurrence` counts the
    intents with the same arguments that the run asked before (child intents only). `vault` is handed to the scorer
    only, `elsewhere` (finished runs of this log on other tasks, latest first) to the memory only, `history` (the
    commits of another run of the same log, or of a file of records) to who answers completions only."""

    run: str
    intent: Event
    attempt: int
    started: RunStarted
    trajectory: Trajectory
    settings: dict[str, Any]
    artifacts: Artifacts
    workdir: Path
    home: Path
    draw: Draw
    call: Callable[[Intent], Awaitable[Payload]]
    cancelled: Callable[[], bool]
    log: structlog.stdlib.BoundLogger
    deadline: float | None = None
    slot: tuple[int, ...] = ()
    gpu: str | None = None
    occurrence: int = 0
    vault: VaultAccess | None = None
    history: Callable[[str], AsyncIterator[Commit]] = no_history
    elsewhere: Callable[[], Awaitable[Sequence[FinishedRun]]] | None = None
    unsafe: bool = False


@dataclass(frozen=True)
class Result:
    """What `perform` returns when it has a cost to report; a bare payload means none."""

    payload: Payload
    cost: Cost | None = None


@dataclass(frozen=True)
class Check:
    """A line of `gome doctor`: what was looked at, whether it is fine, what was found, what to do if it is not."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


@dataclass(frozen=True)
class Calls:
    """How often a plugin expects to make one call to a language model, for `gome run --dry-run`: `per_step` and
    `per_run` times, with about so many tokens each (prompt, reply)."""

    name: str
    role: CompletionRole
    tokens_in: int
    tokens_out: int
    per_step: float = 0.0
    per_run: float = 0.0


@dataclass(frozen=True)
class Report:
    """Something that `gome report` can show beside the kernel's own. `command` is run with the arguments as they were
    typed where `matches` says of them that they are its own, or where its name stands first."""

    command: click.Command
    matches: Callable[[Sequence[str]], bool]


def nothing() -> None:
    """The state of a plugin that keeps none."""
    return None


def unchanged(state: Any, event: Event) -> Any:
    """The fold of a plugin that keeps no state."""
    return state


def silent(state: Any, event: Event, draw: Draw) -> Sequence[Payload]:
    """The decider of a plugin that only performs."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A plugin of any role.

    `reads` are the payload types that `evolve` is shown (its own decisions included) and that `decide` answers (its
    own decisions excluded); `answers` narrows the latter; `Payload` among them stands for every type. `evolve` may
    update its state in place. `decide(state, event, draw)` returns the payloads that answer the event, none for
    silence; it must be a pure function of its arguments. `effects` lists the intents that `perform` carries out.
    `emits` registers payload types of its own with the codec. `settings` is a msgspec struct with defaults for its
    table in the settings. `commands` adds CLI verbs, `reports` what `gome report` can show, `checks` lines to
    `gome doctor`. `prepare(started)` is called in a process that is about to perform for this plugin in a run: it
    begins what takes long to begin, and returns at once.
    `calls(tables, task)` forecasts its calls to language models from the run's settings. `default` marks the one that a
    role takes when none is named. `needs` names optional roles (`completion`) that a run with this plugin must fill;
    `pairs` names plugins of other roles that it works with (role → name), which are taken where nobody names others.
    `flags` names behaviour that this version has and earlier ones had not: where a run was recorded without a flag,
    `RunStarted.flags_of(name)`, which `evolve` is shown, lacks it, and the plugin must decide as it did before. So old
    runs verify and go on with newer code.
    `devices` names the accelerators of this machine that its effects may be given, such as UUIDs of GPUs (none: those
    that could use one do without); asked in a thread whenever an intent wants one, so what takes long is remembered.
    """

    name: str
    role: Role
    version: str = "1"
    summary: str = ""
    reads: tuple[type[Payload], ...] = ()
    answers: tuple[type[Payload], ...] | None = None
    initial: Callable[[], Any] = nothing
    evolve: Callable[[Any, Event], Any] = unchanged
    decide: Callable[[Any, Event, Draw], Sequence[Payload]] = silent
    effects: tuple[Effect, ...] = ()
    perform: Callable[[Event, Context], Awaitable[Payload | Result]] | None = None
    emits: tuple[type[Payload], ...] = ()
    settings: type | None = None
    commands: tuple[click.Command, ...] = ()
    reports: tuple[Report, ...] = ()
    checks: Callable[[], Sequence[Check]] | None = None
    prepare: Callable[[RunStarted], None] | None = None
    default: bool = False
    needs: tuple[Role, ...] = ()
    pairs: Mapping[Role, str] = field(default_factory=dict)
    calls: Callable[[dict[str, Any], Task], Sequence[Calls]] | None = None
    devices: Callable[[], Sequence[str]] | None = None
    flags: tuple[str, ...] = ()
    modules: tuple[str, ...] = field(default=())
    """Packages whose source the pin's digest covers; empty means the package that defines `decide` or `perform`."""

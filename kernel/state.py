"""A run as its log tells it: head, projections, open intents, and a cursor per decider. Synchronous and deterministic.

`RunState.apply` takes commits in order; `answer` names the next decision that is due. Live dispatch (`session`), verify
(`replay`), the worker and every command that shows a run are loops around this class. It touches nothing but memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gome.events import (
    CancelRequested,
    Codec,
    CodecError,
    Commit,
    DeciderFailed,
    EffectAttemptFailed,
    EffectDuplicated,
    EffectRefused,
    EffectStarted,
    EffectYielded,
    Event,
    Head,
    Intent,
    Ledger,
    PluginPin,
    PluginsChanged,
    RunFinished,
    RunForked,
    RunResumed,
    RunStarted,
    RunSuspended,
    Sealed,
    Trajectory,
    follows,
    result_id,
)
from gome.kernel.cursor import Answer, Cursor
from gome.kernel.errors import LogDamaged
from gome.kernel.fork import Joined
from gome.kernel.plugin import Plugin

_FOLDED = (
    "trajectory",
    "ledger",
    "open",
    "started",
    "finished",
    "pins",
    "suspended",
    "failed_decider",
    "events",
    "asked",
)
"""Fields of `RunState` that the records alone determine, whoever decides."""

NOT_RESULTS = (
    EffectStarted,
    EffectYielded,
    EffectAttemptFailed,
    EffectDuplicated,
    EffectRefused,
    CancelRequested,
)
_ROOTS = (RunStarted, RunForked)
"""What a decider is shown according to the fork that it joined in."""
_NOTED = frozenset(
    (
        EffectStarted,
        EffectYielded,
        EffectAttemptFailed,
        CancelRequested,
        RunStarted,
        PluginsChanged,
        RunForked,
        RunSuspended,
        RunResumed,
        RunFinished,
        DeciderFailed,
    )
)


@dataclass
class OpenIntent:
    """An intent without a result. `view` is the trajectory at its own position; `starts` counts recorded attempts that
    began, `forgiven` those of them that a suspension called off or a worker gave back, `failures` those that were
    recorded as failed; `children` are the results of its child intents by id. For a child intent, `occurrence` counts
    those with the same arguments that the run asked before it (0 in a state without views)."""

    event: Event
    view: Trajectory
    parent: str = ""
    starts: int = 0
    forgiven: int = 0
    failures: int = 0
    cancel: str = ""
    children: dict[str, Event] = field(default_factory=dict)
    occurrence: int = 0


class RunState:
    """Fold of one run. `plugins` are its deciders (none: only projections are kept), `resolve` reads moved-out texts
    (digest → text). `fresh` collects intents as they open, for whoever performs them; it is theirs to clear. Without
    `views` open intents share the moving trajectory, which is cheaper and enough where nothing is performed. `joined`
    names the deciders that did not decide the run's prefix (see `gome.kernel.fork.Descent`)."""

    def __init__(
        self,
        run: str,
        codec: Codec,
        plugins: Sequence[Plugin] = (),
        resolve: Callable[[str], str] | None = None,
        *,
        views: bool = True,
        joined: Mapping[str, Joined] | None = None,
    ) -> None:
        self.run = run
        self.views = views
        self.codec = codec
        self.resolve = resolve
        self.head = Head(run)
        self.trajectory = Trajectory()
        self.ledger = Ledger()
        self.cursors = [Cursor(p, (joined or {}).get(p.name)) for p in plugins]
        self.open: dict[str, OpenIntent] = {}
        self.fresh: list[str] = []
        self.asked: dict[str, int] = {}
        self.started: RunStarted | None = None
        self.finished: RunFinished | None = None
        self.pins: tuple[PluginPin, ...] = ()
        self.suspended = ""
        self.failed_decider: DeciderFailed | None = None
        self.events = 0
        self._named = {c.plugin.name: c for c in self.cursors}
        self._order = {c: i for i, c in enumerate(self.cursors)}
        self._by_type: dict[type, list[tuple[Cursor, bool]]] = {}
        self._due: dict[Cursor, None] = {}

    def read(self, sealed: Sealed) -> Commit:
        """Decode a record after checking that it comes right behind the head; raises `LogDamaged`. The first records of
        a fork are those of the runs that hold its prefix."""
        first = self.head.seq == 0 and sealed.body.origin is None
        if why := follows(sealed, Head(sealed.body.run) if first else self.head):
            raise LogDamaged(
                f"run {self.run} is damaged behind event {self.head.seq}: the next record does not fit, {why}; "
                "restore it from an export",
                run=self.run,
                position=self.head.seq + 1,
            )
        try:
            return self.codec.commit(sealed, self.resolve)
        except CodecError as error:
            raise LogDamaged(
                f"run {self.run}, event {sealed.body.seq}: {error}", run=self.run, position=sealed.body.seq
            ) from error

    def apply(self, sealed: Sealed) -> tuple[Commit, list[tuple[Cursor, Answer | None]]]:
        """Fold the next record. Returns it decoded, and for each cursor whose decision it is, the answer that cursor
        computed for itself (None: it would have been silent)."""
        commit = self.read(sealed)
        body = sealed.body
        own = self._named.get(body.decider) if body.lane == "decide" else None
        if own and own.joined and body.seq <= own.joined.behind:
            own = None
        given: list[tuple[Cursor, Answer | None]] = [(own, own.answer())] if own else []
        for event in commit.events:
            rooted = isinstance(event.payload, _ROOTS)
            for cursor, answers in self._readers(type(event.payload)):
                shown = cursor.shown(event) if rooted else event
                if shown is None:
                    continue
                trigger = answers and cursor is not own and cursor.has_joined(event.seq)
                cursor.take(shown, trigger=trigger)
                if trigger:
                    self._due[cursor] = None
        if own:
            own.settle(sealed.last)
        for event in commit.events:
            self._apply_event(event)
        self.events += len(commit.events)
        self.head = sealed.head
        return commit, given

    def _apply_event(self, event: Event) -> None:
        payload = event.payload
        self.trajectory.apply(event)
        self.ledger.apply(event)
        if isinstance(payload, Intent):
            parent = event.cause if event.cause in self.open and event.by == self._performer(event.cause) else ""
            view = self.trajectory.snapshot() if self.views else self.trajectory
            found = self.open[event.id] = OpenIntent(event, view, parent)
            if parent and self.views:
                digest = self.codec.argument_digest_of(event.type, event.tv, event.raw)
                found.occurrence = self.asked.get(digest, 0)
                self.asked[digest] = found.occurrence + 1
            self.fresh.append(event.id)
            return
        if event.cause in self.open and not isinstance(payload, NOT_RESULTS) and event.id == result_id(event.cause):
            done = self.open.pop(event.cause)
            if done.parent in self.open:
                self.open[done.parent].children[event.cause] = event
            return
        if type(payload) not in _NOTED:
            return
        match payload:
            case EffectStarted(intent=intent) if intent in self.open:
                self.open[intent].starts += 1
            case EffectYielded(intent=intent) if intent in self.open:
                found = self.open[intent]
                found.forgiven = min(found.starts, found.forgiven + 1)
            case EffectAttemptFailed(intent=intent) if intent in self.open:
                self.open[intent].failures += 1
            case CancelRequested(intent=intent, reason=reason) if intent in self.open:
                self.open[intent].cancel = reason or "cancelled"
            case RunStarted():
                self.started = payload
                for cursor in self.cursors:
                    cursor.begin(event.seq, payload)
            case RunForked():
                assert self.started is not None, "a fork's prefix begins with RunStarted"
                self.started = payload.amended(self.started)
                self.pins = payload.plugins or self.pins
                self.suspended, self.failed_decider = "", None
                for found in self.open.values():
                    found.forgiven = found.starts
                for cursor in self.cursors:
                    cursor.reseed(event.seq, self.started.seed)
            case PluginsChanged(plugins=plugins):
                self.pins = plugins
            case RunSuspended(reason=reason):
                self.suspended = reason
                for found in self.open.values():
                    found.forgiven = found.starts
            case RunResumed():
                self.suspended = ""
                self.failed_decider = None
            case RunFinished():
                self.finished = payload
                self.open.clear()
            case DeciderFailed():
                self.failed_decider = payload

    def _performer(self, intent: str) -> str:
        """Marks commits of the effect lane that answer this intent: their decider is `effect:<intent kind>`."""
        return f"effect:{self.open[intent].event.type}"

    def answer(self) -> Answer | None:
        """The next decision that is due; None when all deciders are silent or the run has ended."""
        if self.finished is not None:
            return None
        while self._due:
            # The earliest trigger first, whoever woke up when: the order is a function of the log alone.
            cursor = min(self._due, key=self._turn) if len(self._due) > 1 else next(iter(self._due))
            if found := cursor.answer():
                return found
            del self._due[cursor]
        return None

    def _turn(self, cursor: Cursor) -> tuple[int, int]:
        return cursor.due, self._order[cursor]

    def _readers(self, kind: type) -> list[tuple[Cursor, bool]]:
        """The cursors that read a payload type, and whether it is a trigger for them."""
        found = self._by_type.get(kind)
        if found is None:
            found = self._by_type[kind] = [(c, c.answers(kind)) for c in self.cursors if c.reads(kind)]
        return found

    def kept(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """What a snapshot keeps beside the head: the fold, and each decider's cursor by the decider's name. Both share
        what they hold with this state; write them out before anything is folded."""
        fold = {name: getattr(self, name) for name in _FOLDED}
        return fold, {c.plugin.name: c.kept() for c in self.cursors}

    def restore(self, head: Head, fold: dict[str, Any], cursors: dict[str, dict[str, Any]]) -> None:
        """Become the state that was `kept` at `head`; nothing may have been folded yet. All open intents are fresh."""
        for name in _FOLDED:
            setattr(self, name, fold[name])
        self.head = head
        self.fresh = list(self.open)
        for cursor in self.cursors:
            cursor.restore(cursors[cursor.plugin.name])
            if cursor.due:
                self._due[cursor] = None

    def is_open(self, intent: str) -> bool:
        """Whether an intent still wants a result."""
        return intent in self.open

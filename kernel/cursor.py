"""One decider's place in one run: what it has folded, which event it answers next, and with what.

The rule (the whole of replay rests on it): triggers are taken in log order, each once; the answer to trigger t is
computed on the fold up to the later of t and the end of the decider's own previous commit, and that position is
recorded as `seen`. Nothing else enters, so the answer can be computed again from the log by anybody at any time. Live
dispatch, verify and resume all use this class; what they do with an answer differs.
"""

from __future__ import annotations

import traceback
from collections import deque
from dataclasses import dataclass
from typing import Any

from gome.events import Codec, Commit, Draw, Event, Payload, RunStarted, Saying, event_id
from gome.kernel.plugin import Plugin


@dataclass(frozen=True)
class Answer:
    """What a decider says to `trigger`, having folded up to `seen`. `error` is set instead when it raised twice."""

    plugin: Plugin
    trigger: Event
    seen: int
    payloads: tuple[Payload, ...]
    error: str = ""
    trace: str = ""

    def sayings(self, codec: Codec) -> tuple[Saying, ...]:
        """The answer's events with their computed ids."""
        said = []
        for ordinal, payload in enumerate(self.payloads):
            id = event_id(self.trigger.id, self.plugin.name, ordinal)
            corr = id if payload.begins_chain else (self.trigger.corr or self.trigger.id)
            said.append(codec.saying(id, payload, cause=self.trigger.id, corr=corr))
        return tuple(said)


def is_decision_of(name: str, commit: Commit) -> bool:
    """Whether a commit is a decision of the named decider (results of its effects are not)."""
    return commit.body.lane == "decide" and commit.body.decider == name


class Cursor:
    """Feed it every commit of a run in order; ask `answer` for what its decider has to say next."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.state: Any = plugin.initial()
        self.folded = 0
        self.own_end = 0
        self.seed = 0
        self._unfolded: deque[Event] = deque()
        self._triggers: deque[Event] = deque()
        self._answer: Answer | None = None
        self._all = Payload in plugin.reads
        self._reads = frozenset(plugin.reads)
        self._answers = frozenset(plugin.reads if plugin.answers is None else plugin.answers)
        self._answers_all = Payload in self._answers

    def feed(self, commit: Commit) -> Answer | None:
        """Take in the next commit. If it is a decision of this decider, the answer computed for the next trigger is
        returned (None: silence, or no trigger left) and considered given; the caller compares or trusts."""
        own = is_decision_of(self.plugin.name, commit)
        given = self.answer() if own else None
        for event in commit.events:
            kind = type(event.payload)
            if kind is RunStarted:
                self.seed = event.payload.seed  # type: ignore[union-attr]
            if self._all or kind in self._reads:
                self._unfolded.append(event)
                if not own and (self._answers_all or kind in self._answers):
                    self._triggers.append(event)
        if own:
            self.own_end = commit.sealed.last
            self._answer = None
            if given is not None:
                self._triggers.popleft()
        return given

    def answer(self) -> Answer | None:
        """The next thing this decider has to say, None when it is silent on all it has been fed."""
        while self._answer is None and self._triggers:
            trigger = self._triggers[0]
            seen = max(trigger.seq, self.own_end)
            computed = self._compute(trigger, seen)
            if not computed.payloads and not computed.error:
                self._triggers.popleft()
                continue
            self._answer = computed
        return self._answer

    def retry(self) -> None:
        """Forget a failed answer, so that it is computed again (the code may have been mended)."""
        self._answer = None

    def _compute(self, trigger: Event, seen: int) -> Answer:
        try:
            self._fold(seen)
            draw = Draw(self.seed, trigger.id)
            try:
                said = tuple(self.plugin.decide(self.state, trigger, draw))
            except Exception:
                said = tuple(self.plugin.decide(self.state, trigger, draw))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            return Answer(self.plugin, trigger, seen, (), text, "".join(traceback.format_exception(error)))
        return Answer(self.plugin, trigger, seen, said)

    def _fold(self, upto: int) -> None:
        while self._unfolded and self._unfolded[0].seq <= upto:
            self.state = self.plugin.evolve(self.state, self._unfolded[0])
            self._unfolded.popleft()
        self.folded = upto

    def holds(self, answer: Answer) -> bool:
        """Whether an answer is still the one to give (nobody has recorded it meanwhile)."""
        return self._answer is answer

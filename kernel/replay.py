"""Decide everything again and compare: what makes the log a proof instead of a protocol.

`check` compares one recorded decision with the answer computed from the fold; `Verifier` does so for a whole run,
record by record in bounded memory, and also checks what performers wrote (result ids, openness, kind, artifacts).
Two events are equal when their ids, types, causes, correlations and canonical payloads are; time, cost, writer and
chain are facts about the recording and are not compared. Reading records and printing reports lie elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gome.events import Codec, Commit, Intent, Saying, Sealed, Wire, digest_of, event_id, move_out, result_id
from gome.kernel.cursor import Answer
from gome.kernel.errors import Diverged
from gome.kernel.fork import Joined
from gome.kernel.plugin import Artifacts, Plugin
from gome.kernel.state import NOT_RESULTS, RunState

_DIGEST = re.compile(rb'"(?:\$ref":"|digest":"(?=sha256-[0-9a-f]{64}","size"))(sha256-[0-9a-f]{64})"')
"""An `Artifact` or a moved-out `Text` in stored bytes; other digests (of programs, hidden answers) name no file."""


@dataclass(frozen=True)
class Divergence:
    """Where a run and today's deciders part. `kind` is changed, extra, missing, raised or result; `path` leads into
    the decision (`2.payload.hypothesis.move`), `recorded` and `computed` are the values there."""

    position: int
    decider: str
    kind: str
    path: str = ""
    recorded: Any = None
    computed: Any = None

    def sentence(self, run: str) -> str:
        """One line for a person."""
        where = f"run {run}, event {self.position}, decider {self.decider}"
        if self.kind == "changed":
            return f"{where}: {self.path} was recorded as {_show(self.recorded)}, computed now {_show(self.computed)}"
        if self.kind == "extra":
            return f"{where}: recorded {_show(self.recorded)}, but computed now is silence"
        if self.kind == "missing":
            return f"{where}: computed now {_show(self.computed)}, but nothing was recorded for that event"
        if self.kind == "raised":
            return f"{where}: the decider raised {self.computed}"
        return f"{where}: {self.path} {_show(self.recorded)}"

    def error(self, run: str) -> Diverged:
        """The same as an exception, with the way out."""
        return Diverged(
            f"{self.sentence(run)}; the plugins have changed since it was recorded: install the versions that "
            f"`gome show` lists to go on with this run, or go on with today's in a fork: gome fork {run}"
        )


def _show(value: Any) -> str:
    text = msgspec.json.encode(value).decode() if not isinstance(value, str) else repr(value)
    return text if len(text) <= 160 else text[:150] + f"… ({len(text)} characters)"


def first_difference(a: Any, b: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """The first place where two plain JSON values differ, in the order of the first one's keys."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(k for k in b if k not in a)]:
            at = f"{path}.{key}" if path else key
            if key not in a or key not in b:
                return at, a.get(key), b.get(key)
            if found := first_difference(a[key], b[key], at):
                return found
        return None
    if isinstance(a, list) and isinstance(b, list):
        for i, (x, y) in enumerate(zip(a, b, strict=False)):
            if found := first_difference(x, y, f"{path}.{i}" if path else str(i)):
                return found
        if len(a) != len(b):
            return f"{path}.length" if path else "length", len(a), len(b)
        return None
    return None if a == b and type(a) is type(b) else (path, a, b)


def _plain(codec: Codec, said: Saying | Wire) -> dict[str, Any]:
    version = max(said.tv, getattr(codec.types.get(said.type), "version", said.tv))
    return {
        "id": said.id,
        "type": said.type,
        "version": version,
        "cause": said.cause,
        "corr": said.corr,
        "payload": msgspec.json.decode(codec.canonical(said.type, said.tv, bytes(said.payload))),
    }


def _as_stored(codec: Codec, commit: Commit, answer: Answer) -> bool:
    """Whether an answer has the very bytes that were stored, as far as that shows without moving texts out."""
    trigger, payloads = answer.trigger, answer.payloads
    if len(payloads) != len(commit.events):
        return False
    corr = trigger.corr or trigger.id
    for ordinal, (payload, e) in enumerate(zip(payloads, commit.events, strict=True)):
        kind = type(payload)
        if (kind.__name__, kind.version, trigger.id) != (e.type, e.tv, e.cause):
            return False
        if e.corr != (e.id if kind.begins_chain else corr) or codec.stored(payload) != e.raw:
            return False
        if e.id != event_id(trigger.id, answer.plugin.name, ordinal):
            return False
    return True


def check(codec: Codec, commit: Commit, decider: str, answer: Answer | None) -> Divergence | None:
    """Compare a recorded decision with the one computed for the decider's next trigger."""
    body = commit.body
    recorded = [w.type for w in body.events]
    if answer is None:
        return Divergence(body.seq, decider, "extra", recorded=recorded)
    if answer.error:
        return Divergence(body.seq, decider, "raised", computed=answer.error)
    if answer.trigger.id != body.answers:
        names = [type(p).__name__ for p in answer.payloads]
        return Divergence(answer.trigger.seq, decider, "missing", computed=names)
    if answer.seen != body.seen:
        return Divergence(body.seq, decider, "changed", "seen", body.seen, answer.seen)
    if answer.flags != body.flags:
        return Divergence(body.seq, decider, "changed", "flags", list(body.flags), list(answer.flags))
    try:
        if _as_stored(codec, commit, answer):
            return None
        computed = answer.sayings(codec)
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        # What no record can hold is told from what is recorded as well: a changed decider may say anything.
        return Divergence(body.seq, decider, "raised", computed=f"{type(error).__name__}: {error}")
    if len(computed) == len(commit.events) and all(
        s.id == e.id
        and s.type == e.type
        and s.tv == e.tv
        and s.cause == e.cause
        and s.corr == e.corr
        and (s.payload == e.raw or move_out(s.payload, digest_of) == e.raw)
        for s, e in zip(computed, commit.events, strict=True)
    ):
        return None
    difference = first_difference([_plain(codec, w) for w in body.events], [_plain(codec, s) for s in computed])
    return Divergence(body.seq, decider, "changed", *difference) if difference else None


@dataclass(frozen=True)
class Verdict:
    """What verifying found. `unanswered` counts deciders whose next answer is not recorded yet (an open run's tail)."""

    run: str
    events: int
    commits: int
    decisions: int
    divergences: tuple[Divergence, ...]
    unanswered: int
    finished: bool

    @property
    def ok(self) -> bool:
        """Whether every decision is the one recorded."""
        return not self.divergences


class Verifier:
    """Verifies one run. `stop_at_first` ends at the first divergence (later ones may follow from it). With `artifacts`
    every digest that a record names must be in the store. In a fork the deciders that `joined` names did not decide the
    prefix; whoever did is verified by `ancestor`, a verifier of the run that they belong to."""

    def __init__(
        self,
        run: str,
        codec: Codec,
        plugins: Sequence[Plugin],
        resolve: Callable[[str], str] | None = None,
        artifacts: Artifacts | None = None,
        stop_at_first: bool = True,
        joined: Mapping[str, Joined] | None = None,
        ancestor: Verifier | None = None,
    ) -> None:
        self.ancestor = ancestor
        self.shared = max((j.behind for j in joined.values()), default=0) if joined else 0
        self.state = RunState(run, codec, plugins, resolve, views=False, joined=joined)
        self.divergences: list[Divergence] = []
        self.commits = self.decisions = 0
        self.artifacts = artifacts
        self.stop_at_first = stop_at_first
        self._present: set[bytes] = set()
        self._end = 0
        self._performs: dict[str, set[tuple[str, str]]] = {}
        for plugin in plugins:
            for effect in plugin.effects:
                self._performs.setdefault(effect.intent.__name__, set()).add((plugin.name, plugin.role))

    async def run(self, records: AsyncIterator[Sealed]) -> Verdict:
        """Read all records, then report."""
        async for sealed in records:
            if not self.take(sealed):
                break
        return self.verdict()

    def take(self, sealed: Sealed) -> bool:
        """Verify one more record; False when there is no point in going on."""
        inherited = sealed.last <= self.shared
        if inherited and self.ancestor is not None:
            self.ancestor.take(sealed)
            self.divergences[:] = self.ancestor.divergences
        elif not inherited:
            self._check_result(sealed)
        commit, given = self.state.apply(sealed)
        self.commits += 1
        for cursor, answer in () if inherited else given:
            self.decisions += 1
            if found := check(self.state.codec, commit, cursor.plugin.name, answer):
                self.divergences.append(found)
            elif answer is not None and self.state.finished is not None:
                self._end = answer.trigger.seq
        if commit.body.lane == "decide" and not given and not inherited:
            name = commit.body.decider
            self.divergences.append(Divergence(commit.body.seq, name, "extra", recorded="a decider that is not there"))
        # Computing due answers now, not at the end, keeps each cursor's backlog short.
        self.state.answer()
        return not (self.divergences and self.stop_at_first)

    def verdict(self) -> Verdict:
        """What has been found so far; a finished run must have no unanswered trigger before its end."""
        due = [a for c in self.state.cursors if (a := c.answer())]
        if self.state.finished is not None:
            # Whoever drives a run answers the earliest trigger first: the end was decided when all before was answered.
            due = [a for a in due if a.trigger.seq < self._end]
        for answer in due:
            where, name = answer.trigger.seq, answer.plugin.name
            if answer.error:
                self.divergences.append(Divergence(where, name, "raised", computed=answer.error))
            elif self.state.finished is not None:
                said = [type(p).__name__ for p in answer.payloads]
                self.divergences.append(Divergence(where, name, "missing", computed=said))
        return Verdict(
            self.state.run,
            self.state.events,
            self.commits,
            self.decisions + (self.ancestor.decisions if self.ancestor else 0),
            tuple(self.divergences),
            len(due),
            self.state.finished is not None,
        )

    def _check_result(self, sealed: Sealed) -> None:
        body = sealed.body
        if self.artifacts is not None:
            for digest in _DIGEST.findall(sealed.stored):
                if digest in self._present:
                    continue
                if self.artifacts.has(digest.decode()):
                    self._present.add(digest)
                else:
                    self._wrong(body.seq, body.decider, "the store lacks artifact", digest.decode())
        if body.lane != "effect":
            return
        for wire in body.events:
            kind = self.state.codec.types.get(wire.type)
            if kind is None or issubclass(kind, NOT_RESULTS) or issubclass(kind, Intent):
                continue
            intent = self.state.open.get(wire.cause)
            if wire.id != result_id(wire.cause):
                self._wrong(body.seq, body.decider, "the result's id is not computed from its intent:", wire.id)
            elif intent is None:
                self._wrong(body.seq, body.decider, "a result answers an intent that is not open:", wire.cause)
            elif wire.type not in ("EffectFailed", "EffectCancelled"):
                performers = self._performs.get(intent.event.type, {(body.decider, body.role)})
                if (body.decider, body.role) not in performers:
                    wanted = " or ".join(f"{name} as {role}" for name, role in sorted(performers))
                    said = f"{body.decider} as {body.role}"
                    self._wrong(body.seq, body.decider, f"{wanted} performs {intent.event.type}, not", said)

    def _wrong(self, seq: int, who: str, what: str, value: str) -> None:
        self.divergences.append(Divergence(seq, who, "result", what, value))

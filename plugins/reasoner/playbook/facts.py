"""What the playbook looks at: a `ReasonContext` turned into plain values that diagnosis and moves can read.

Every number may be missing (an imported program writes other diagnostics, a profile may be partial), so everything is
read here once, with a default, and nothing else in this package touches raw diagnostics. Nothing is computed from
data: only from what events say.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import msgspec

from gome.events import Attempt, Trajectory
from gome.events.pipeline import Member, Pipeline, apply_change, family, member_key, read_pipeline, to_spec
from gome.kernel.reasoning import ReasonContext
from gome.plugins.reasoner.playbook.columns import ColumnFacts, read_columns
from gome.plugins.reasoner.playbook.sight import in_sight

Spec = dict[str, Any]
RESERVE = 0.2
"""Share of the budget that belongs to the final selection."""


@dataclass(frozen=True)
class MemberFacts:
    """A member that has been fitted: its specification, how good it was alone, what it cost, what it says of itself.

    `score` is its own validation score (None: unknown), `seconds` of fitting all folds, `iterations` the best rounds
    per fold, `cap` the rounds allowed, `train` the training score, `weight` its share in the blend it was part of.
    """

    spec: Spec
    key: str
    family: str
    attempt: str
    trace: int
    score: float | None = None
    seconds: float | None = None
    train: float | None = None
    iterations: tuple[float, ...] = ()
    cap: float = 0.0
    weight: float = 1.0
    importance: tuple[tuple[str, float], ...] = ()
    bag: int = 1


@dataclass(frozen=True)
class Facts:
    """All that is known when a step is asked for. `parent` is the specification built on (empty for a draft), `members`
    the parent's members with their facts, `library` every member fitted so far, best first, `known` the keys of the
    pipelines proposed so far (both as far as they are in sight). `room` counts the CPU seconds that a step may still
    cost, `weight_limit` the seconds that a whole pipeline may take to refit (final selection runs it several times).
    """

    task: str
    kind: str
    metric: str
    greater: bool
    rows: int
    test_rows: int
    classes: int
    columns: tuple[ColumnFacts, ...]
    profile: dict[str, Any]
    stage: str
    step_kind: str
    trace: int
    step: int
    used: float
    parent: Spec
    score: float | None
    error: float | None
    fold_scores: tuple[float, ...]
    members: tuple[MemberFacts, ...]
    diagnostics: dict[str, Any]
    library: tuple[MemberFacts, ...]
    known: frozenset[str]
    heads: tuple[tuple[str, Spec], ...]
    room: float
    weight_limit: float
    torch: bool
    rejected_in_a_row: int
    seed_noise: float
    fold_count: int = 5
    openers: tuple[str, ...] = field(default=())
    base: str = ""
    pending: frozenset[str] = frozenset()

    def column(self, name: str) -> ColumnFacts | None:
        """Facts about one column, None if there is no such column."""
        return next((c for c in self.columns if c.name == name), None)

    def kinds(self, kind: str) -> tuple[ColumnFacts, ...]:
        """Columns of one kind."""
        return tuple(c for c in self.columns if c.kind == kind)

    @property
    def regression(self) -> bool:
        """Whether numbers are predicted."""
        return self.kind == "regression"


def number(value: Any, default: float | None = None) -> float | None:
    """Return a finite float, or the default for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return default


def numbers(value: Any) -> tuple[float, ...]:
    """Return the finite numbers of a list (or the values of a table), empty for anything else."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return ()
    return tuple(v for v in (number(x) for x in value) if v is not None)


def error_of(score: float | None, metric: str, greater: bool) -> float | None:
    """Return a score as an error (smaller is better, 0 perfect): relative gains of all metrics are shares of it."""
    if score is None:
        return None
    if not greater:
        return max(score, 1e-12)
    return max(1.0 - score, 1e-6) if score <= 1.0 else 1.0 / score


def better(a: float | None, b: float | None, greater: bool) -> bool:
    """Whether score `a` is better than `b`; a missing score is worse than any."""
    if a is None or b is None:
        return a is not None
    return a > b if greater else a < b


key_of = lru_cache(maxsize=32_768)(member_key)
"""Content key of a member; members are values, so it is computed once for each."""


def content_key(pipeline: Pipeline) -> str:
    """Return what makes a program a different one: its members in any order, and the blend.

    The weights of a blend do not depend on the order of its members, so a reordered pipeline is not a new one.
    """
    blend = msgspec.json.encode(pipeline.blend, order="sorted").decode()
    return " ".join([*sorted(key_of(m) for m in pipeline.members), blend])


@dataclass(frozen=True)
class Read:
    """A specification once read: the pipeline, its content key, and its members as plain values."""

    pipeline: Pipeline
    key: str
    members: tuple[Spec, ...]


_READ: dict[str, Read | None] = {}
"""What was read, by the digest of the program that was rendered from it; emptied when it grows large."""


def pipeline_of(attempt: Attempt) -> Read | None:
    """Return an attempt's pipeline; None if its program was not rendered from one."""
    if attempt.code is None or not attempt.code.spec:
        return None
    digest = attempt.code.digest
    if digest not in _READ:
        if len(_READ) > 20_000:
            _READ.clear()
        try:
            pipeline = read_pipeline(attempt.code.spec)
            members = tuple(member_spec(m) for m in pipeline.members)
            _READ[digest] = Read(pipeline, content_key(pipeline), members)
        except ValueError:
            _READ[digest] = None
    return _READ[digest]


@lru_cache(maxsize=32_768)
def member_spec(member: Member) -> Spec:
    """Return a member as plain values, defaults left out, its model always named; shared, so not to be changed."""
    spec: Spec = to_spec(Pipeline(members=(member,)))["members"][0]
    return spec


def _key_of_open(attempt: Attempt, attempts: Mapping[str, Attempt]) -> str | None:
    """Key of what an attempt without code was going to be, from its hypothesis."""
    if attempt.hypothesis is None or not attempt.hypothesis.change:
        return None
    parent = attempts.get(attempt.parent)
    spec = parent.code.spec if parent and parent.code else {}
    try:
        return content_key(apply_change(spec, attempt.hypothesis.change))
    except ValueError:
        return None


def known_keys(context: ReasonContext, seen: Iterable[Attempt]) -> frozenset[str]:
    """Return the keys of the pipelines of attempts, and of everything that is in flight on any trace."""
    keys = set()
    for attempt in (*seen, *context.trajectory.open_attempts()):
        found = pipeline_of(attempt)
        key = found.key if found else _key_of_open(attempt, context.trajectory.attempts)
        if key:
            keys.add(key)
    return frozenset(keys)


def pending_members(trajectory: Trajectory) -> frozenset[str]:
    """Return the keys of members that attempts in flight may be fitting right now."""
    keys: set[str] = set()
    for attempt in trajectory.open_attempts():
        found = pipeline_of(attempt)
        if found and attempt.scored is None:
            keys.update(key_of(m) for m in found.pipeline.members)
    return frozenset(keys)


def _entries(diagnostics: dict[str, Any]) -> list[dict[str, Any]]:
    found = diagnostics.get("members")
    if isinstance(found, dict):
        return [{"key": k, **v} for k, v in found.items() if isinstance(v, dict)]
    return [m for m in found if isinstance(m, dict)] if isinstance(found, list) else []


def _importance(entry: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    found = entry.get("importance")
    if isinstance(found, dict):
        pairs: Iterable[tuple[Any, Any]] = found.items()
    elif isinstance(found, list):
        pairs = [(p[0], p[1]) for p in found if isinstance(p, (list, tuple)) and len(p) == 2]
    else:
        return ()
    clean = [(str(k), v) for k, v in ((k, number(v)) for k, v in pairs) if v is not None]
    return tuple(sorted(clean, key=lambda p: (-p[1], p[0]))[:40])


def _blend_weights(diagnostics: dict[str, Any], keys: list[str]) -> list[float]:
    """Absolute weights that sum to one, in the order of the members; equal ones where nothing is said."""
    blend = diagnostics.get("blend")
    weights = blend.get("weights") if isinstance(blend, dict) else diagnostics.get("weights")
    found = [abs(number(weights.get(k), 0.0) or 0.0) for k in keys] if isinstance(weights, dict) else None
    if found is None:
        found = [abs(w) for w in numbers(weights)]
    total = sum(found)
    if len(found) != len(keys) or total <= 0:
        return [1.0 / len(keys)] * len(keys)
    return [w / total for w in found]


def _mean(value: Any) -> float | None:
    """The mean of a list, or the number itself."""
    found = numbers(value)
    return sum(found) / len(found) if found else number(value)


def _seconds(entry: dict[str, Any]) -> float | None:
    """Seconds of fitting all folds; a program says them per fold or in all, also for a member it has read back."""
    per_fold = numbers(entry.get("seconds"))
    if per_fold:
        return sum(per_fold)
    return None if entry.get("cached") else number(entry.get("seconds"))


def members_of(attempt: Attempt) -> tuple[MemberFacts, ...]:
    """Return the members of an attempt's pipeline with what its execution says about each."""
    found = pipeline_of(attempt)
    if found is None:
        return ()
    pipeline = found.pipeline
    diagnostics = attempt.diagnostics
    keys = [key_of(m) for m in pipeline.members]
    entries = {str(e.get("key", "")): e for e in _entries(diagnostics)}
    ordered = _entries(diagnostics)
    weights = _blend_weights(diagnostics, keys)
    alone = len(keys) == 1
    result = []
    for i, (member, key) in enumerate(zip(pipeline.members, keys, strict=True)):
        entry = entries.get(key) or (ordered[i] if len(ordered) == len(keys) else {})
        score = number(entry.get("score"), attempt.score if alone else None)
        took = _seconds(entry)
        if took is None and alone and attempt.execution and not entry.get("cached"):
            took = attempt.execution.seconds or None
        result.append(
            MemberFacts(
                spec=found.members[i],
                key=key,
                family=family(member),
                attempt=attempt.id,
                trace=attempt.trace,
                score=score,
                seconds=took,
                train=number(entry.get("train_score"), _mean(entry.get("train_scores"))),
                iterations=numbers(entry.get("best_iterations")),
                cap=number(entry.get("rounds")) or 0.0,
                weight=weights[i],
                importance=_importance(entry),
                bag=member.bag,
            )
        )
    return tuple(result)


def library_of(attempts: Iterable[Attempt], greater_is_better: bool) -> tuple[MemberFacts, ...]:
    """Return every member that a scored attempt fitted, once per key, best score first; those without a score last."""
    found: dict[str, MemberFacts] = {}
    for attempt in attempts:
        if attempt.scored is None:
            continue
        for member in members_of(attempt):
            old = found.get(member.key)
            if old is None or (old.score is None and member.score is not None) or old.seconds is None:
                merged = member if old is None or member.seconds is not None else old
                found[member.key] = merged
    sign = -1.0 if greater_is_better else 1.0
    return tuple(sorted(found.values(), key=lambda m: (m.score is None, sign * (m.score or 0.0), m.key)))


def _known(members: tuple[MemberFacts, ...], library: tuple[MemberFacts, ...]) -> tuple[MemberFacts, ...]:
    """Fill in what an execution that only read a member's predictions could not say, from the one that fitted it."""
    fitted = {m.key: m for m in library}
    return tuple(
        replace(fitted[m.key], weight=m.weight, score=m.score if m.score is not None else fitted[m.key].score)
        if m.key in fitted
        else m
        for m in members
    )


def _room(trajectory: Trajectory) -> tuple[float, float]:
    """Seconds a step may still cost, and seconds a whole pipeline may take to refit."""
    started = trajectory.started
    if started is None or started.budget.seconds is None:
        return 600.0, 300.0
    total = started.budget.seconds
    left = total * (1.0 - RESERVE) - trajectory.active
    slots = max(1, started.capacity)
    return max(0.0, left), max(4.0, total * RESERVE * slots / 3.6)


def rebased(facts: Facts, context: ReasonContext) -> Facts | None:
    """Return the facts as they would be on the best solution of the other traces; None if the own one is as good."""
    if not facts.heads:
        return None
    attempt = context.trajectory.attempts[facts.heads[0][0]]
    found = pipeline_of(attempt)
    if found is None or not better(attempt.score, facts.score, facts.greater):
        return None
    return replace(
        facts,
        parent=to_spec(found.pipeline),
        members=_known(members_of(attempt), facts.library),
        score=attempt.score,
        error=error_of(attempt.score, facts.metric, facts.greater),
        fold_scores=attempt.scored.fold_scores if attempt.scored else (),
        diagnostics=attempt.diagnostics,
        heads=(),
        base=attempt.id,
    )


def read_facts(context: ReasonContext) -> Facts:
    """Turn what a reasoner is shown into facts."""
    trajectory, task, profile, attempt = context.trajectory, context.task, context.profile, context.attempt
    parent = context.parent
    base = pipeline_of(parent) if parent else None
    greater = task.metric.greater_is_better
    score = parent.score if parent else None
    ended = [a for a in trajectory.attempts.values() if a.trace == attempt.trace and a.accepted is not None]
    refused = 0
    for a in reversed(ended):
        if a.accepted:
            break
        refused += 1
    seen = in_sight(context)
    library = library_of(seen, greater)
    members = _known(members_of(parent), library) if parent and base else ()
    heads = []
    shown = {a.id for a in seen}
    for number_, ids in sorted(trajectory.accepted.items()):
        head = trajectory.attempts[ids[-1]] if ids else None
        pipeline = pipeline_of(head) if head else None
        if head and pipeline and number_ != attempt.trace and head.id in shown:
            heads.append((head.score, head.id, to_spec(pipeline.pipeline)))
    sign = -1.0 if greater else 1.0
    heads.sort(key=lambda h: (h[0] is None, sign * (h[0] or 0.0), h[1]))
    room, weight_limit = _room(trajectory)
    repeats = [s for a in seen for s in a.repeats if s.purpose == "seed"]
    openers = tuple(
        a.hypothesis.move for a in trajectory.attempts.values() if a.kind == "draft" and a.hypothesis is not None
    )
    return Facts(
        task=task.name,
        kind=task.kind,
        metric=task.metric.name,
        greater=greater,
        rows=task.rows_train,
        test_rows=task.rows_test,
        classes=max(1, len(task.classes)),
        columns=read_columns(task, profile),
        profile=profile,
        stage=attempt.stage,
        step_kind=attempt.kind,
        trace=attempt.trace,
        step=attempt.step,
        used=context.budget_used,
        parent=to_spec(base.pipeline) if base else {},
        score=score,
        error=error_of(score, task.metric.name, greater),
        fold_scores=parent.scored.fold_scores if parent and parent.scored else (),
        members=members,
        diagnostics=parent.diagnostics if parent else {},
        library=library,
        known=known_keys(context, seen),
        heads=tuple((name, spec) for _, name, spec in heads),
        room=room,
        weight_limit=weight_limit,
        torch=importlib.util.find_spec("torch") is not None,
        rejected_in_a_row=refused,
        seed_noise=_spread([s.score for s in repeats]),
        fold_count=trajectory.profiled.fold_count if trajectory.profiled else 5,
        openers=openers,
        pending=pending_members(trajectory),
    )


def without_diagnostics(facts: Facts) -> Facts:
    """The facts without what executions said of themselves: the data, the solution and what fitting cost remain."""

    def plain(members: tuple[MemberFacts, ...]) -> tuple[MemberFacts, ...]:
        return tuple(replace(m, train=None, iterations=(), cap=0.0, importance=()) for m in members)

    return replace(
        facts,
        members=plain(facts.members),
        library=plain(facts.library),
        diagnostics={},
        fold_scores=(),
        rejected_in_a_row=0,
        seed_noise=0.0,
    )


def _spread(values: list[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))

"""What the playbook looks at: a `ReasonContext` turned into plain values that diagnosis and moves can read.

A profile may be partial and any number missing, so everything is read once, with a default: pipelines in
`pipelines.py`, members in `fitted.py`, the rest here. Nothing is computed from data: only from what events say.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gome.events import Attempt, Trajectory
from gome.events.pipeline import Pipeline, to_spec
from gome.kernel.reasoning import ReasonContext
from gome.plugins.reasoner.playbook.columns import ColumnFacts, read_columns
from gome.plugins.reasoner.playbook.fitted import MemberFacts, completed, library_of, members_of
from gome.plugins.reasoner.playbook.pipelines import Spec, known_keys, pending_members, pipeline_of
from gome.plugins.reasoner.playbook.sight import everything, in_sight

RESERVE = 0.2
"""Share of the budget that belongs to the final selection."""
CROSSINGS = ("crossover", "fusion")
"""Kinds of steps whose further parents are joined with the parent, or with each other."""
LINEAGE = 10
"""Steps of its lineage that an evolution looks back on."""
TOO_MUCH = ("time", "memory")
"""Failures that say that a program asked for more than there is."""


@dataclass(frozen=True)
class TooHeavy:
    """A pipeline that ran out of time or memory, and whose it was."""

    attempt: str
    failure: str
    pipeline: Pipeline


@dataclass(frozen=True)
class Broken:
    """The attempt that a step repairs: it ended without a score. `failure` is the class of its failure, `reason` what
    was said of it."""

    attempt: str
    failure: str
    reason: str


@dataclass(frozen=True)
class Partner:
    """A further parent of a step: its specification, score and fitted members."""

    attempt: str
    spec: Spec
    score: float | None
    members: tuple[MemberFacts, ...]


@dataclass(frozen=True)
class Facts:
    """All that is known when a step is asked for. `parent` is the specification built on (empty for a draft), `members`
    the parent's members with their facts, `library` every member fitted so far, best first, `known` the keys of the
    pipelines proposed so far (both as far as they are in sight). `room` counts the CPU seconds that a step may still
    cost, `weight_limit` the seconds that a whole pipeline may take to refit (final selection runs it several times).
    `heavy` are the trace's pipelines that ran out of time or memory since it last accepted one. `broken` is the attempt
    to repair, `partners` the further parents of a crossing, `tried` the moves on the way to the parent, nearest first.
    `many` says that the search may want more first drafts than there are families to open a trace with.
    `stand_in` names the ancestor whose solution is built on where the parent has none.
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
    heavy: tuple[TooHeavy, ...] = ()
    broken: Broken | None = None
    partners: tuple[Partner, ...] = ()
    tried: tuple[str, ...] = ()
    stand_in: str = ""
    many: bool = False

    def column(self, name: str) -> ColumnFacts | None:
        """Facts about one column, None if there is no such column."""
        return next((c for c in self.columns if c.name == name), None)

    def kinds(self, kind: str) -> tuple[ColumnFacts, ...]:
        """Columns of one kind."""
        return tuple(c for c in self.columns if c.kind == kind)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the parent's members."""
        return tuple(m.key for m in self.members)

    @property
    def regression(self) -> bool:
        """Whether numbers are predicted."""
        return self.kind == "regression"


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
        members=completed(members_of(attempt), facts.library),
        score=attempt.score,
        error=error_of(attempt.score, facts.metric, facts.greater),
        fold_scores=attempt.scored.fold_scores if attempt.scored else (),
        diagnostics=attempt.diagnostics,
        heads=(),
        base=attempt.id,
    )


def _standing_in(attempts: Mapping[str, Attempt], parent: Attempt | None) -> Attempt | None:
    """What a step builds on: its parent, or, where that ended without a pipeline, its nearest ancestor with one."""
    found = parent
    while found and found.scored is None and pipeline_of(found) is None and found.parent != found.id:
        found = attempts.get(found.parent)
    return found or parent


def _broken(parent: Attempt | None) -> Broken | None:
    """The parent, if it ended without a score and yet has a program; one that was merely stopped as hopeless runs."""
    if parent is None or parent.scored is not None or parent.rule == "hopeless" or pipeline_of(parent) is None:
        return None
    return Broken(parent.id, parent.failure, parent.reason.strip()[:300])


def _lineage(trajectory: Trajectory, parent: Attempt | None) -> tuple[str, ...]:
    """The moves that led to the parent, nearest first."""
    found: list[str] = []
    while parent and len(found) < LINEAGE:
        if parent.hypothesis and parent.hypothesis.move:
            found.append(parent.hypothesis.move.partition("@")[0].partition(":")[0])
        parent = trajectory.attempts.get(parent.parent)
    return tuple(found)


def _partners(context: ReasonContext, library: tuple[MemberFacts, ...]) -> tuple[Partner, ...]:
    attempt, attempts = context.attempt, context.trajectory.attempts
    if attempt.kind not in CROSSINGS:
        return ()
    named = [attempts[name] for name in attempt.parents if name in attempts and name != attempt.parent]
    return tuple(
        Partner(a.id, to_spec(found.pipeline), a.score, completed(members_of(a), library))
        for a in named
        if (found := pipeline_of(a)) and a.scored is not None
    )


def read_facts(context: ReasonContext) -> Facts:
    """Turn what a reasoner is shown into facts."""
    trajectory, task, profile, attempt = context.trajectory, context.task, context.profile, context.attempt
    parent = _standing_in(everything(context), context.parent)
    base = pipeline_of(parent) if parent else None
    greater = task.metric.greater_is_better
    score = parent.score if parent else None
    ended = [a for a in trajectory.attempts.values() if a.trace == attempt.trace and a.accepted is not None]
    refused = 0
    heavy = []
    for a in reversed(ended):
        if a.accepted:
            break
        refused += 1
        if a.failure in TOO_MUCH and (found := pipeline_of(a)):
            heavy.append(TooHeavy(a.id, a.failure, found.pipeline))
    broken = _broken(parent)
    if broken and base and broken.failure in TOO_MUCH and broken.attempt not in [h.attempt for h in heavy]:
        heavy.insert(0, TooHeavy(broken.attempt, broken.failure, base.pipeline))
    seen = in_sight(context)
    library = library_of(seen, greater)
    members = completed(members_of(parent), library) if parent and base else ()
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
        known=known_keys(everything(context), seen if context.scope.others == "all" else None),
        heads=tuple((name, spec) for _, name, spec in heads),
        room=room,
        weight_limit=weight_limit,
        torch=importlib.util.find_spec("torch") is not None,
        rejected_in_a_row=refused,
        seed_noise=_spread([s.score for s in repeats]),
        fold_count=trajectory.profiled.fold_count if trajectory.profiled else 5,
        openers=openers,
        pending=pending_members(everything(context).values()),
        heavy=tuple(reversed(heavy)),
        broken=broken,
        partners=_partners(context, library),
        tried=_lineage(trajectory, parent) if attempt.kind == "evolution" else (),
        many=bool(attempt.context),
        stand_in=parent.id if parent and parent is not context.parent else "",
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
        broken=replace(facts.broken, reason="") if facts.broken else None,
        partners=tuple(replace(p, members=plain(p.members)) for p in facts.partners),
    )


def _spread(values: list[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))

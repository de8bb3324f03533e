"""What to expect of a move now: the prior, updated by what its like has gained in this run.

Evidence is the trace's own attempts and what the success memory recalled of the others, each as a relative gain (share
of the error at the time). Observations count fully for the same topic on the same family, partly for another family; a
move's rate of success is learnt over all its topics, and so is how its forecasts have turned out: where three ways of
joining gave nothing of what was expected of them, less is expected of the fourth. What a step that builds on several
solutions has gained is measured against the best of them: taking over another's lead is no merit of the change.
Successes of other tasks' runs speak for a move's chance only: their gains are in other units. Where the loop works
without memory, only the trace's failures since the last acceptance are evidence. Nothing here is random.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gome.events import Attempt
from gome.kernel.reasoning import ReasonContext
from gome.plugins.reasoner.playbook.facts import error_of
from gome.plugins.reasoner.playbook.idea import Idea
from gome.plugins.reasoner.playbook.sight import in_sight

CHANCE = 3.0
"""How many trials the prior chance is worth."""
RATE = 0.5
"""By how much of its error one forecast corrects the next. The recorded forecast was corrected by all before it, so
corrections multiply: what is right by now is left alone."""
RELATED = 0.5
"""How much the forecast for another topic of the same move counts."""
OTHER_FAMILY = 0.6
NOT_RECALLED = 0.6
"""How much an attempt of another trace counts that the memory did not recall: refused ones above all, without which
whatever has ever helped anywhere would look better than it is."""
ELSEWHERE = 0.5
"""How much a success on another task counts at most."""
LEAST = 1e-5
"""Relative gain from which on a forecast can be held against what came of it."""
LARGEST = 0.15
"""Relative gains beyond this size are cut: one lucky leap should not rule the rest."""


@dataclass(frozen=True)
class Evidence:
    """One finished attempt: its move's topic and family, the relative gain (None: unknown), whether it was accepted,
    and how much the observation counts in (0, 1]. `failed` marks attempts without a score. `realised` is what came of
    the gain that was forecast, as a share of it within [0, 2] (None: nothing was forecast)."""

    attempt: str
    topic: str
    family: str
    gain: float | None
    accepted: bool
    weight: float
    failed: bool = False
    foreign: bool = False
    realised: float | None = None


@dataclass(frozen=True)
class Belief:
    """Expected relative gain, chance of acceptance, number of earlier tries of the topic and of the very same topic
    and family, and the other traces' attempts that it was learnt from."""

    gain: float
    chance: float
    tries: float
    same: float
    learnt_from: tuple[str, ...] = ()


def tag(idea: Idea) -> str:
    """Return the move as it is recorded in a hypothesis: `topic@family`."""
    return f"{idea.topic}@{idea.family}" if idea.family else idea.topic


def _evidence(attempt: Attempt, context: ReasonContext, weight: float, foreign: bool) -> Evidence | None:
    if attempt.hypothesis is None or attempt.accepted is None or not attempt.hypothesis.move:
        return None
    topic, _, family = attempt.hypothesis.move.partition("@")
    parent = context.trajectory.attempts.get(attempt.parent)
    metric = context.task.metric
    scale = error_of(parent.score if parent else attempt.score, metric.name, metric.greater_is_better)
    lead = _lead(attempt, parent, context)
    gain = attempt.gain - lead if not attempt.failure else 0.0
    relative = gain / scale if scale else 0.0
    forecast = attempt.hypothesis.expected_gain - lead
    return Evidence(
        attempt=attempt.id,
        topic=topic,
        family=family,
        gain=max(-LARGEST, min(LARGEST, relative)),
        accepted=attempt.accepted,
        weight=weight,
        failed=attempt.scored is None,
        foreign=foreign,
        realised=max(0.0, min(2.0, gain / forecast)) if scale and forecast > LEAST * scale else None,
    )


def _lead(attempt: Attempt, parent: Attempt | None, context: ReasonContext) -> float:
    """How much better than its parent the best of the other solutions is that an attempt builds on, at least 0."""
    if parent is None or parent.score is None:
        return 0.0
    others = (context.trajectory.attempts.get(name) for name in attempt.parents)
    return max([0.0, *(context.trajectory.gain(o.score, parent.score) for o in others if o and o.score is not None)])


def evidence(context: ReasonContext) -> list[Evidence]:
    """Return what may be learnt from: this trace's attempts, and those of other traces and runs as far as the memory
    recalled them. Where the search narrows the scope of a step: what that shows, of whatever branch."""
    attempts, trace = context.trajectory.attempts, context.attempt.trace
    others: list[Attempt] = []
    if context.scope.others == "all":
        own = [a for a in in_sight(context) if a.trace == trace and (context.loop.memory or not a.accepted)]
        told = [r for r in context.recollections if r.attempt in attempts and attempts[r.attempt].trace != trace]
        if context.loop.reach == "shared":
            recalled = {r.attempt for r in told}
            others = [a for a in in_sight(context) if a.trace != trace and a.id not in recalled]
    else:
        told = [r for r in context.recollections if r.attempt in attempts]
        own = [a for name, a in attempts.items() if name not in {r.attempt for r in told}]
    found = [_evidence(a, context, 1.0, False) for a in own]
    found += [_evidence(a, context, NOT_RECALLED, True) for a in others]
    top = max((r.weight for r in told), default=1.0) or 1.0
    for r in told:
        found.append(_evidence(attempts[r.attempt], context, 0.4 + 0.5 * r.weight / top, True))
    for r in context.recollections:
        if ":" in r.attempt and r.move:
            topic, _, family = r.move.partition("@")
            weight = ELSEWHERE * r.weight / max(top, r.weight)
            found.append(Evidence(r.attempt, topic, family, None, r.accepted, weight, foreign=True))
    return [e for e in found if e is not None]


def believe(idea: Idea, seen: Iterable[Evidence]) -> Belief:
    """Update an idea's prior by the evidence."""
    gain = idea.gain
    good, trials = CHANCE * idea.chance, CHANCE
    tries = same = 0.0
    learnt = []
    for e in seen:
        if e.topic.partition(":")[0] != idea.move:
            continue
        alike = e.weight * (1.0 if e.family == idea.family else OTHER_FAMILY)
        if e.realised is not None:
            weight = alike if e.topic == idea.topic else RELATED * alike
            gain *= 1.0 + RATE * weight * (e.realised - 1.0)
        weight = alike if e.topic == idea.topic else 0.25 * alike
        good += weight * e.accepted
        trials += weight
        if e.topic != idea.topic:
            continue
        if e.gain is not None:
            tries += 1
            same += e.family == idea.family
        if e.foreign and e.accepted:
            learnt.append(e.attempt)
    return Belief(gain, good / trials, tries, same, tuple(dict.fromkeys(learnt))[:3])

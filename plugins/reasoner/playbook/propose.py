"""From challenges to one hypothesis: ask the moves, drop what is known, impossible or too slow, score the rest.

Five scores of 1–10 with the weights of `gome.events.Scores`: alignment is the weight of the challenge, impact the
expected relative gain (a root, so that small gains still differ), novelty how rarely the topic was tried, feasibility
the share of the remaining time it leaves, risk and reward the chance of success.

Where the loop works without diagnosis there are no challenges and no scores: one legal idea is drawn by its prior.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from gome.events import Challenge, Hypothesis, Scores
from gome.events.pipeline import Pipeline, apply_change, check_task, needs_torch, to_spec
from gome.kernel.reasoning import Proposal, ReasonContext
from gome.plugins.reasoner.playbook.believe import Belief, Evidence, believe, evidence, tag
from gome.plugins.reasoner.playbook.diagnose import ENSEMBLE_FROM, diagnose
from gome.plugins.reasoner.playbook.facts import Facts, read_facts, rebased, without_diagnostics
from gome.plugins.reasoner.playbook.families import corrections, estimate
from gome.plugins.reasoner.playbook.fitted import MemberFacts
from gome.plugins.reasoner.playbook.idea import Idea
from gome.plugins.reasoner.playbook.moves import MOVES
from gome.plugins.reasoner.playbook.pipelines import content_key, key_of, member_spec
from gome.plugins.reasoner.playbook.settings import read_settings
from gome.plugins.reasoner.playbook.strength import Weakness

START = 1.0
"""Seconds that a program takes beside fitting."""
MARGIN = 1.4
"""By how much an estimate may be wrong and the step still end in time."""
FULL_IMPACT = 0.04
"""Expected relative gain that scores 10 for impact."""
LIGHTER = 0.5
"""Share of what ran out of time or memory that the next step may take (seconds stand for memory as well: both grow with
rows, columns and rounds)."""
OF_A_KIND = frozenset({"draft", "repair", "cross"})
"""Moves that the kind of a step asks for."""
SHOWN = 5
"""Challenges, and hypotheses passed over, that are recorded."""


@dataclass(frozen=True)
class Candidate:
    """An idea that can be carried out: its pipeline's key, seconds for what is not fitted yet, seconds in all, what is
    believed of it, its scores."""

    idea: Idea
    key: str
    seconds: float
    whole: float
    belief: Belief
    scores: Scores
    value: float
    pipeline: Pipeline


Lawful = TypeVar("Lawful", "Candidate", "Legal")


def ideas_for(facts: Facts, challenges: tuple[Challenge, ...]) -> list[Idea]:
    """Return what the moves suggest for the challenges, each change once, in the order of the catalogue."""
    named = {c.name for c in challenges}
    found: list[Idea] = []
    for move in MOVES:
        if named & set(move.answers):
            found += [idea for idea in move.ideas(facts) if idea.problem in named]
    return found


def seconds_of(
    facts: Facts, pipeline: Pipeline, kept: dict[str, MemberFacts], corrected: dict[str, float]
) -> tuple[float, float]:
    """Return estimated seconds for the members that are not fitted yet, and for all of them."""
    fresh = whole = 0.0
    for m in pipeline.members:
        known = kept.get(key_of(m))
        took = known.seconds if known and known.seconds is not None else None
        if took is None:
            took = estimate(facts, member_spec(m), corrected)
        whole += took
        fresh += 0.0 if known else took
    return fresh + START, whole + START


def ceiling(facts: Facts, kept: dict[str, MemberFacts], corrected: dict[str, float]) -> float:
    """Return the estimated seconds that a step may take after others have run out of time or memory."""
    found = (seconds_of(facts, heavy.pipeline, kept, corrected)[0] - START for heavy in facts.heavy)
    return min((START + LIGHTER * seconds for seconds in found), default=math.inf)


def _clip(value: float) -> float:
    return round(max(1.0, min(10.0, value)), 3)


def score(facts: Facts, idea: Idea, belief: Belief, weight: float, seconds: float) -> tuple[Scores, float]:
    """Return the five scores and the expected relative gain."""
    value = belief.gain * (0.5 + 0.5 * belief.chance / max(0.05, idea.chance))
    if facts.stage == "ensemble" and idea.component == "ensemble":
        weight = min(1.0, weight + 0.15)
    if (
        idea.component == "ensemble"
        and idea.move == "join"
        and facts.used < ENSEMBLE_FROM
        and facts.step_kind != "merge"
    ):
        value *= 0.15
    cheap = 1.0 / (1.0 + seconds / (3.0 + 0.02 * facts.room))
    impact = 1.0 + 9.0 * math.sqrt(min(1.0, max(0.0, value * (0.4 + 0.6 * cheap)) / FULL_IMPACT))
    return (
        Scores(
            alignment=_clip(1.0 + 9.0 * weight),
            impact=_clip(impact),
            novelty=_clip(10.0 / (1.0 + 0.5 * (belief.tries - belief.same) + 1.2 * belief.same)),
            feasibility=_clip(10.0 * (1.0 - min(1.0, seconds * MARGIN / max(1.0, facts.room)))),
            risk_reward=_clip(10.0 * belief.chance),
        ),
        value,
    )


@dataclass(frozen=True)
class Legal:
    """An idea that is new, valid and affordable: its pipeline and key, seconds for what is not fitted, and in all."""

    idea: Idea
    pipeline: Pipeline
    key: str
    seconds: float
    whole: float


def legal(context: ReasonContext, facts: Facts, ideas: Iterable[Idea], *, wait: bool) -> Iterator[Legal]:
    """Yield the ideas that can be carried out; with `wait` none that needs a member which another trace is fitting just
    now (a little later it costs nothing)."""
    kept, corrected = {m.key: m for m in facts.library}, corrections(facts)
    most = min(facts.room / MARGIN, ceiling(facts, kept, corrected))
    for idea in ideas:
        try:
            pipeline = apply_change(facts.parent, idea.change)
            check_task(pipeline, context.task)
        except ValueError:
            continue  # not for this pipeline (too many members, a family without that encoding, …)
        key = content_key(pipeline)
        if key in facts.known or (needs_torch(pipeline) and not facts.torch):
            continue
        if wait and any(key_of(m) in facts.pending and key_of(m) not in kept for m in pipeline.members):
            continue
        first = not facts.parent and not facts.library  # anything is better than no solution at all
        seconds, whole = seconds_of(facts, pipeline, kept, corrected)
        if seconds > most or (whole > facts.weight_limit and not first):
            continue
        yield Legal(idea, pipeline, key, seconds, whole)


def candidates(
    context: ReasonContext, facts: Facts, challenges: tuple[Challenge, ...], *, wait: bool = True
) -> list[Candidate]:
    """Return every legal idea that answers a challenge, best first."""
    weights = {c.name: c.weight for c in challenges}
    seen: list[Evidence] = evidence(context)
    ideas = Weakness.of(context).believed(ideas_for(facts, challenges))
    found: dict[str, Candidate] = {}
    for one in legal(context, facts, ideas, wait=wait):
        belief = believe(one.idea, seen)
        scores, value = score(facts, one.idea, belief, weights.get(one.idea.problem, 0.1), one.seconds)
        candidate = Candidate(one.idea, one.key, one.seconds, one.whole, belief, scores, value, one.pipeline)
        if one.key not in found or scores.total > found[one.key].scores.total:
            found[one.key] = candidate
    return sorted(found.values(), key=lambda c: (-c.scores.total, -c.value, c.key))


def _apt(facts: Facts) -> frozenset[str]:
    """The moves that a step may make at all: repairs of what is broken, crossings where a solution is to be crossed,
    drafts where there is nothing yet, all others elsewhere."""
    if facts.broken:
        return frozenset({"repair"})
    if facts.partners:
        return frozenset({"cross"})
    usual = frozenset(m.name for m in MOVES) - OF_A_KIND
    return usual if facts.parent else frozenset({"draft"})


def _by_kind(facts: Facts, ranked: list[Candidate]) -> list[Candidate]:
    """What the kind of step asks for comes before everything else that could be done."""
    wanted = ranked
    if facts.partners:
        wanted = [c for c in ranked if c.idea.move == "cross"]
    elif facts.tried:  # a lineage that has come to a halt wants another kind of change, not one more setting
        wanted = [c for c in ranked if c.idea.move not in {*facts.tried, "tune"}]
    return wanted or ranked


def undiagnosed(context: ReasonContext, facts: Facts) -> Proposal | None:
    """Return one legal idea, drawn in proportion to its prior alone: gain times chance."""
    facts = without_diagnostics(facts)
    moves = [m for m in MOVES if m.name in _apt(facts)]
    weakness = Weakness.of(context)
    ideas = weakness.believed([idea for move in moves for idea in move.ideas(facts)])
    found = list(legal(context, facts, ideas, wait=True)) or list(legal(context, facts, ideas, wait=False))
    found = found or list(legal(context, replace(facts, heavy=()), ideas, wait=False))
    if not found and facts.partners:  # whatever could be crossed has been: then it is a step like any other
        return undiagnosed(context, replace(facts, partners=()))
    if facts.step_kind == "merge":
        found = [one for one in found if one.idea.move == "join"] or found
    if not found:
        return None
    found = [_standing_alone(one) for one in found] if facts.stand_in else found
    taken = context.draw.weighted(found, [one.idea.gain * one.idea.chance for one in found], "idea")
    idea = taken.idea
    hypothesis = Hypothesis(
        statement=idea.statement,
        component=idea.component,
        change=weakness.spoilt(taken.pipeline, facts.keys, facts.known) or idea.change,
        reason=f"Drawn by its prior among {len(found)} changes: {100 * idea.gain:.2g} % of the error with a chance of "
        f"{idea.chance:.0%}.",
        move=tag(idea),
        expected_gain=float(f"{idea.gain * idea.chance * (facts.error or 0.0):.6g}"),
    )
    return Proposal(hypothesis)


def _standing_alone(one: Lawful) -> Lawful:
    """The same with its change said as a whole pipeline: what it was a change of is not the step's parent."""
    return replace(one, idea=replace(one.idea, change={"pipeline": to_spec(one.pipeline)}))


def _carried_over(candidate: Candidate, base: str, lead: float) -> Candidate:
    """A candidate on another trace's solution as one for this trace: the whole pipeline, its lead added to the gain."""
    idea = replace(
        candidate.idea,
        statement=f"Go on from {base}, the best solution of the other traces: {candidate.idea.statement}",
        change={"pipeline": to_spec(candidate.pipeline)},
    )
    impact = 1.0 + 9.0 * math.sqrt(min(1.0, ((candidate.scores.impact - 1.0) / 9.0) ** 2 + lead / FULL_IMPACT))
    scores = msgspec.structs.replace(candidate.scores, impact=_clip(impact))
    return replace(candidate, idea=idea, value=candidate.value + lead, scores=scores)


def _hypothesis(facts: Facts, candidate: Candidate) -> Hypothesis:
    idea, belief = candidate.idea, candidate.belief
    reason = f"{idea.reason[0].upper()}{idea.reason[1:]}. "
    reason += f"Expected: {100 * candidate.value:.2g} % of the error for about {candidate.seconds:.0f} s"
    if belief.tries:
        reason += f"; the like was tried {belief.tries:.0f} times"
    if belief.learnt_from:
        reason += f", with success in {', '.join(belief.learnt_from)}"
    if facts.heavy:
        out = ", ".join(f"{heavy.attempt} ran out of {heavy.failure}" for heavy in facts.heavy[-2:])
        reason += f"; only light changes are considered, since {out}"
    return Hypothesis(
        statement=idea.statement,
        component=idea.component,
        change=idea.change,
        reason=reason + ".",
        problem=idea.problem,
        move=tag(idea),
        scores=candidate.scores,
        expected_gain=float(f"{candidate.value * (facts.error or 0.0):.6g}"),
        learnt_from=belief.learnt_from,
    )


Ranked = tuple[Facts, tuple[Challenge, ...], list[Candidate]]


def _ranked(context: ReasonContext, facts: Facts, challenges: tuple[Challenge, ...]) -> Ranked:
    """What can be done about the challenges, best first; nothing lighter being left, a heavy step rather than none."""
    ranked = candidates(context, facts, challenges) or candidates(context, facts, challenges, wait=False)
    if facts.heavy and not ranked:
        facts = replace(facts, heavy=())
        ranked = candidates(context, facts, challenges, wait=False)
    return facts, challenges, ranked


def _diagnosed(context: ReasonContext, facts: Facts) -> Ranked:
    """The challenges and what can be done about them; one that is drawn where the step is misled."""
    weakness = Weakness.of(context)
    by_kind = not facts.parent or facts.broken or facts.partners or facts.step_kind == "merge"
    if not by_kind and weakness.misled():
        asked = [name for move in MOVES for name in move.answers if move.name not in OF_A_KIND]
        for challenge in weakness.drawn(asked):
            found = _ranked(context, facts, (challenge,))
            if found[2]:
                return found
    return _ranked(context, facts, diagnose(facts))


def _taken_up(context: ReasonContext, facts: Facts, ranked: list[Candidate]) -> list[Candidate]:
    """The candidates of a merge: joins first, and, where the trace has fallen behind, what would be done on the best
    solution, which counts as much as joining it."""
    ranked = [c for c in ranked if c.idea.move == "join"] or ranked
    if other := rebased(facts, context):
        more = candidates(context, other, diagnose(other))
        lead = 1 - (other.error or 1.0) / (facts.error or 1.0)
        ranked = sorted(
            (*ranked, *(_carried_over(c, other.base, lead) for c in more)),
            key=lambda c: (-c.scores.total, -c.value, c.key),
        )
    return ranked


def propose(context: ReasonContext) -> Proposal | None:
    """Return the best hypothesis for a step with its diagnosis, or None when nothing new fits into what is left."""
    facts = read_facts(context)
    if not context.loop.diagnosis:
        return undiagnosed(context, facts)
    if not read_settings(context.settings).diagnostics:
        facts = without_diagnostics(facts)
    facts, challenges, ranked = _diagnosed(context, facts)
    if facts.step_kind == "merge":
        ranked = _taken_up(context, facts, ranked)
    if not ranked:
        return None
    ranked = _by_kind(facts, ranked)
    if facts.stand_in:
        ranked = [_standing_alone(c) for c in ranked]
    best = ranked[0]
    answered = [c for c in challenges if c.name == best.idea.problem]
    rest = [c for c in challenges if c.name != best.idea.problem]
    hypothesis = _hypothesis(facts, best)
    if spoilt := Weakness.of(context).spoilt(best.pipeline, facts.keys, facts.known):
        hypothesis = msgspec.structs.replace(hypothesis, change=spoilt)
    return Proposal(
        hypothesis=hypothesis,
        challenges=tuple(answered + rest[: SHOWN - 1]),
        # What was passed over is kept as an idea; whole pipelines that nobody renders would fill the log.
        considered=tuple(msgspec.structs.replace(_hypothesis(facts, c), change={}) for c in ranked[1:SHOWN]),
        chosen="modify" if best.belief.learnt_from else "select",
    )

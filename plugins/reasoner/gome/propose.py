"""One hypothesis for a step: diagnosis, hypotheses, choice, sketch, in this order; shorter for merges and ablations.

A call that gives nothing usable costs as little as possible: without a critique the hypotheses stay, without a choice
the ranking decides, without a sketch (C7) the hypothesis itself is the plan. A merge (C17), like any step with further
parents, asks for ways to join the ideas of several solutions and takes the best by its scores. Without structured
reasoning (`loop.diagnosis = false`) one call goes from what is known to the change. Errors of the endpoint are left to
the caller.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec

from gome.events import Attempt, Hypothesis
from gome.kernel.completing import ReplyUnusable
from gome.kernel.reasoning import Proposal
from gome.plugins.reasoner.gome import selecting
from gome.plugins.reasoner.gome.challenges import diagnose
from gome.plugins.reasoner.gome.hypotheses import entry, hypothesise, improve
from gome.plugins.reasoner.gome.mixing import Idea, best, by_scores, choose, multiplier
from gome.plugins.reasoner.gome.quoting import number, program_of
from gome.plugins.reasoner.gome.render import Block, Listing, Section
from gome.plugins.reasoner.gome.replies import Change, Merges, Sketch
from gome.plugins.reasoner.gome.situation import Situation

JOINS = ("merge", "crossover", "fusion")
"""Kinds of steps that join what several solutions have."""
TOGETHER = 4
"""Accepted changes of another solution that a merge is shown."""


async def propose(situation: Situation) -> Proposal:
    """Return the hypothesis for a step with the diagnosis behind it and the ones that were passed over."""
    if not situation.context.loop.diagnosis:
        return await _change(situation)
    if situation.attempt.kind in JOINS and situation.attempt.parents:
        return await _merge(situation)
    # Whoever repairs a failed attempt has to look at what happened, however little that is.
    m = 0 if situation.attempt.kind == "debug" else multiplier(*situation.tally())
    diagnosis = await diagnose(situation, m)
    ideas = await hypothesise(situation, diagnosis)
    if situation.settings.critique and situation.ended():
        ideas = await improve(situation, diagnosis, ideas)
    ideas = by_scores(ideas)
    chosen, how = choose(ideas, situation.settings.ranking, m, situation.context.draw).hypothesis, "select"
    if situation.settings.selection == "model":
        recollections = await selecting.recall(situation, ideas)
        with contextlib.suppress(ReplyUnusable):  # then the ranking has decided already
            chosen, how = await selecting.choose(situation, diagnosis, ideas, recollections)
    rest = tuple(i.hypothesis for i in ideas if how == "create" or i.hypothesis.problem != chosen.problem)
    sketched = await _sketched(situation, chosen)
    return Proposal(hypothesis=sketched, challenges=diagnosis.events, considered=rest, chosen=how)


async def _sketched(situation: Situation, hypothesis: Hypothesis, others: Sequence[str] = ()) -> Hypothesis:
    """C7: the hypothesis with its plan."""
    sections: dict[str, Section] = {
        "chosen": Block("The hypothesis", entry(hypothesis)),
        "others": Listing("The solutions to join", others, keep="all"),
    }
    try:
        sketch = (await situation.ask("sketch", Sketch, sections=sections)).sketch
    except ReplyUnusable:
        sketch = f"### Change\n{hypothesis.statement}\n\n### Why\n{hypothesis.reason}"
    return msgspec.structs.replace(hypothesis, change={"sketch": sketch})


def _others(situation: Situation) -> list[Attempt]:
    """The accepted solutions that a merge takes from, beside its parent."""
    t = situation.context.trajectory
    return [t.attempts[name] for name in situation.attempt.parents if name in t.attempts]


def _solution(situation: Situation, attempt: Attempt, position: int) -> str:
    """A solution to be joined: the latest accepted changes that made it, and its program."""
    t = situation.context.trajectory
    made = [t.attempts[name] for name in t.accepted.get(attempt.trace, ())]
    changes = [f"- {a.hypothesis.statement} (gain {number(a.gain)})" for a in made if a.hypothesis][-TOGETHER:]
    lines = [f"solution {position}, score {number(attempt.score)}", "accepted changes:", *changes]
    return "\n".join([*lines, "program:", program_of(attempt)])


async def _merge(situation: Situation) -> Proposal:
    """C17: join the accepted ideas of several traces; the best by weighted score is taken."""
    others = _others(situation)
    texts = [_solution(situation, a, i) for i, a in enumerate(others, start=1)]
    sections = {"others": Listing("The solutions to join", texts, keep="all")}
    reply = await situation.ask("merge", Merges, sections=sections)
    learnt = tuple(dict.fromkeys(name for name in (situation.attempt.parent, *(a.id for a in others)) if name))
    ideas = [
        Idea(
            Hypothesis(
                statement=found.statement,
                component=found.component,
                reason=found.reason,
                problem="join what several traces have found",
                scores=found.scores.scores,
                learnt_from=learnt,
            )
        )
        for found in reply.hypotheses
    ]
    taken = best(ideas, situation.context.draw)
    sketched = await _sketched(situation, taken.hypothesis, texts)
    rest = tuple(i.hypothesis for i in by_scores(ideas) if i is not taken)
    return Proposal(hypothesis=sketched, considered=rest, chosen="create")


async def _change(situation: Situation) -> Proposal:
    """The loop without structured reasoning: one call from what is known to a change, no diagnosis, no scores."""
    others = _others(situation)
    texts = [_solution(situation, a, i) for i, a in enumerate(others, start=1)]
    sections = {"others": Listing("The solutions to join", texts, keep="all")}
    reply = await situation.ask("change", Change, sections=sections, facts=situation.stage_facts())
    learnt = tuple(dict.fromkeys((situation.attempt.parent, *(a.id for a in others)))) if others else ()
    hypothesis = Hypothesis(
        statement=reply.statement,
        component=reply.component,
        reason=reply.reason,
        change={"sketch": reply.sketch},
        learnt_from=learnt,
    )
    return Proposal(hypothesis=hypothesis, chosen="create")

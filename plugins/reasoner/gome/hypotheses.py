"""Hypotheses with scores (call C3), questioned and rewritten where that is switched on (C4, C5)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gome.events import Hypothesis
from gome.kernel.completing import ReplyError, ReplyUnusable
from gome.plugins.reasoner.gome.challenges import Diagnosis
from gome.plugins.reasoner.gome.mixing import Idea
from gome.plugins.reasoner.gome.render import Listing
from gome.plugins.reasoner.gome.replies import Critiques, FoundHypothesis, Hypotheses, key
from gome.plugins.reasoner.gome.situation import Situation

UNASKED = "none was given; look for its weak point yourself"
"""Stands for a critique that the reply has forgotten."""


async def hypothesise(situation: Situation, diagnosis: Diagnosis) -> list[Idea]:
    """C3: at most one hypothesis for each challenge; for a new root each on another component."""

    def check(reply: Hypotheses) -> None:
        _known_and_apart(reply, diagnosis, apart=situation.root)

    sections = {"challenges": Listing("The challenges", diagnosis.entries, keep="all")}
    reply = await situation.ask("hypotheses", Hypotheses, check=check, sections=sections)
    return [_idea(h, diagnosis) for h in reply.hypotheses]


def _known_and_apart(reply: Hypotheses, diagnosis: Diagnosis, *, apart: bool) -> None:
    for h in reply.hypotheses:
        diagnosis.named(h.challenge)
    components = [h.component for h in reply.hypotheses]
    twice = next((c for c in components if components.count(c) > 1), None)
    if apart and twice is not None:
        raise ReplyError(
            f"the component {twice} stands {components.count(twice)} times; nothing is accepted here yet, so let every "
            "hypothesis touch a different component and leave out what does not fit"
        )


def _idea(found: FoundHypothesis, diagnosis: Diagnosis) -> Idea:
    caption = diagnosis.named(found.challenge).caption
    hypothesis = Hypothesis(
        statement=found.statement,
        component=found.component,
        reason=found.reason,
        problem=caption,
        scores=found.scores.scores,
    )
    return Idea(hypothesis, diagnosis.label(caption))


def entry(hypothesis: Hypothesis) -> str:
    """A hypothesis as a prompt lists it."""
    scores = ", ".join(f"{name} {value:g}" for name, value in msgspec.structs.asdict(hypothesis.scores).items())
    lines = [
        f"challenge: {hypothesis.problem}",
        f"change ({hypothesis.component}): {hypothesis.statement}",
        f"reason: {hypothesis.reason}",
        f"scores: {scores}",
    ]
    return "\n".join(lines)


async def improve(situation: Situation, diagnosis: Diagnosis, ideas: Sequence[Idea]) -> list[Idea]:
    """C4 and C5: better versions of the same hypotheses; these as they were where either call comes to nothing."""
    entries = [entry(i.hypothesis) for i in ideas]
    captions = {key(i.hypothesis.problem) for i in ideas}

    def check(reply: Hypotheses) -> None:
        _known_and_apart(reply, diagnosis, apart=situation.root)
        if missing := captions ^ {key(h.challenge) for h in reply.hypotheses}:
            names = "; ".join(sorted(diagnosis.found[k].caption for k in missing))
            raise ReplyError(
                f"one hypothesis for each of the challenges is wanted, no more and no less; look at {names}"
            )

    try:
        sections = {"candidates": Listing("The hypotheses", entries, keep="all")}
        critiques = await situation.ask("critique", Critiques, sections=sections)
        said = {key(c.challenge): c.critique for c in critiques.critiques}
        pairs = [
            f"{text}\ncritique: {said.get(key(i.hypothesis.problem), UNASKED)}"
            for text, i in zip(entries, ideas, strict=True)
        ]
        sections = {"candidates": Listing("The hypotheses with their critiques", pairs, keep="all")}
        reply = await situation.ask("rewrite", Hypotheses, check=check, sections=sections)
    except ReplyUnusable:
        return list(ideas)
    return [_idea(h, diagnosis) for h in reply.hypotheses]

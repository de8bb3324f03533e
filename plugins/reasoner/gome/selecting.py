"""The choice of the one change to make (call C6), with the success memory in view and the stage of the run in mind."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gome.events import Hypothesis, Recollection
from gome.kernel.completing import ReplyError
from gome.plugins.reasoner.gome.challenges import Diagnosis
from gome.plugins.reasoner.gome.hypotheses import entry
from gome.plugins.reasoner.gome.mixing import Idea
from gome.plugins.reasoner.gome.quoting import memory_entries
from gome.plugins.reasoner.gome.render import Listing
from gome.plugins.reasoner.gome.replies import Choice, key
from gome.plugins.reasoner.gome.situation import Situation

RECALLED = 3
"""Memories that the choice is shown."""


async def recall(situation: Situation, ideas: Sequence[Idea]) -> Sequence[Recollection]:
    """What the success memory says of the candidates; nothing where the loop works without memory."""
    if not situation.context.loop.memory:
        return ()
    texts = [f"{i.hypothesis.component} {i.hypothesis.problem} {i.hypothesis.statement}" for i in ideas]
    return await situation.context.recall(texts, limit=RECALLED)


async def choose(
    situation: Situation, diagnosis: Diagnosis, ideas: Sequence[Idea], recollections: Sequence[Recollection]
) -> tuple[Hypothesis, str]:
    """C6. Whatever way the hypothesis came about, it keeps a problem, a reason and scores."""
    candidates = {key(i.hypothesis.problem): i.hypothesis for i in ideas}
    ensemble = situation.stage == "ensemble"

    def check(reply: Choice) -> None:
        diagnosis.named(reply.challenge)
        base = candidates.get(key(reply.challenge))
        if reply.action != "create" and base is None:
            raise ReplyError(f"no candidate answers {reply.challenge!r}: name a candidate's challenge, or create")
        component = reply.component or (base.component if base else None)
        if reply.action == "select" and base is not None:
            component = base.component
        if ensemble and component != "ensemble":
            raise ReplyError(f"at this stage the component has to be ensemble, not {component}: create or modify one")
        if any(not 1 <= n <= len(recollections) for n in reply.remembered):
            raise ReplyError(f"remembered holds numbers of memories, from 1 to {len(recollections)}, or nothing")

    memories = memory_entries(recollections, situation.context.trajectory)
    sections = {
        "candidates": Listing("The candidates", [entry(i.hypothesis) for i in ideas], keep="all"),
        "memories": Listing("What is remembered", memories, keep="all"),
    }
    reply = await situation.ask("selection", Choice, check=check, sections=sections, facts=situation.stage_facts())
    base = candidates.get(key(reply.challenge))
    learnt = tuple(dict.fromkeys(recollections[n - 1].attempt for n in reply.remembered))
    if reply.action == "select" and base is not None:
        return msgspec.structs.replace(base, learnt_from=learnt), "select"
    scores = reply.scores.scores if reply.scores else base.scores if base else None
    assert scores is not None, "the reply's type wants scores for what is created"
    return (
        Hypothesis(
            statement=reply.statement,
            component=reply.component or (base.component if base else ""),
            reason=reply.reason,
            problem=diagnosis.named(reply.challenge).caption,
            scores=scores,
            learnt_from=learnt,
        ),
        reply.action,
    )

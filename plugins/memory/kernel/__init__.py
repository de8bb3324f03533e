"""Gome's interaction kernel as a memory plugin: what other steps found, weighted by similarity, gain and age.

`decide.py` is pure and asks when a step is planned; `recall.py` performs, with the kernel's arithmetic (`interaction`),
the rules of drawing (`rules`) and what texts are compared by (`embedders`, `endpoint`), all imported only when asked.
MLEvolve's steps are told of another memory (`retrieval`), ranked in two ways at once (`fusion`).
"""

from __future__ import annotations

from gome.events import Event, RecallRequested
from gome.kernel.plugin import Context, Effect, Plugin, Result
from gome.plugins.memory.kernel.decide import ANSWERS, READS, decide, evolve, initial
from gome.plugins.memory.kernel.retrieval import FLAG
from gome.plugins.memory.kernel.settings import Settings


async def perform(event: Event, ctx: Context) -> Result:
    """Recall for one step; the arithmetic is imported on first use."""
    from gome.plugins.memory.kernel.recall import recall

    return await recall(event, ctx)


plugin = Plugin(
    name="kernel",
    role="memory",
    summary="success memory of all traces: similarity of hypotheses, normalised gain and age in one softmax",
    reads=READS,
    answers=ANSWERS,
    initial=initial,
    evolve=evolve,
    decide=decide,
    effects=(Effect(RecallRequested),),
    perform=perform,
    settings=Settings,
    flags=(FLAG,),
    default=True,
    modules=("gome.plugins.memory.kernel",),
)
"""What the entry point names."""

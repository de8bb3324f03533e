"""The mutator that has a language model write programs: a hypothesis in words in, a whole file or a patch out.

`decide.py` says when a program is written, repaired or given up; `perform.py` carries it out: `write.py` asks and
checks, `review.py` has a judge model look. What a program must do is said in `prompts/contract.j2`. The settings table
is `[llm]`; models are named in `[completion]`.
"""

from __future__ import annotations

from gome.events import CodeRequested, Event, Payload, ReviewRequested
from gome.kernel.plugin import Context, Effect, Plugin
from gome.plugins.mutator.llm import decide
from gome.plugins.mutator.llm.settings import LlmSettings


async def _perform(event: Event, ctx: Context) -> Payload:
    """Carry out an intent. The impure half is imported when first needed, so that listing plugins stays quick."""
    from gome.plugins.mutator.llm.perform import perform

    return await perform(event, ctx)


plugin = Plugin(
    name=decide.NAME,
    role="mutator",
    summary="has a language model write programs, repairs them as they fail, has them reviewed",
    reads=decide.READS,
    answers=decide.ANSWERS,
    initial=decide.State,
    evolve=decide.evolve,
    decide=decide.decide,
    effects=(Effect(CodeRequested), Effect(ReviewRequested)),
    perform=_perform,
    settings=LlmSettings,
    needs=("completion",),
    modules=("gome.plugins.mutator.llm",),
)
"""The plugin value that the entry point `gome.mutators` names."""

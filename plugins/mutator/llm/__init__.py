"""The mutator that has a language model write programs: a hypothesis in words in, a whole file or a patch out.

`decide.py` says when a program is written, repaired or given up; `perform.py` carries it out: `write.py` asks and
checks, `review.py` has a judge model look. What a program must do is said in `prompts/contract.j2`. The settings table
is `[llm]`; models are named in `[completion]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gome.events import CodeRequested, Event, Payload, ReviewRequested, Task
from gome.kernel.plugin import Calls, Context, Effect, Plugin
from gome.plugins.mutator.llm import decide
from gome.plugins.mutator.llm.settings import LlmSettings


async def _perform(event: Event, ctx: Context) -> Payload:
    """Carry out an intent. The impure half is imported when first needed, so that listing plugins stays quick."""
    from gome.plugins.mutator.llm.perform import perform

    return await perform(event, ctx)


def _calls(tables: dict[str, Any], task: Task) -> Sequence[Calls]:
    """What a run will ask: a program a step, a repair for every other one, and reviews."""
    settings = msgspec.convert(tables.get(decide.NAME, {}), LlmSettings)
    found = [Calls("code", "developer", 4600, 3000, per_step=1)]
    if settings.repairs:
        found.append(Calls("repair", "developer", 4800, 3000, per_step=0.5))
    if settings.review:
        found.append(Calls("review", "judge", 4600, 400, per_step=1.2))
    return found


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
    calls=_calls,
    modules=("gome.plugins.mutator.llm",),
)
"""The plugin value that the entry point `gome.mutators` names."""

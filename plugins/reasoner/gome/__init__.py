"""Structured reasoning with a language model: diagnosis, scored hypotheses, a choice with the success memory in view.

When something is asked for is decided in `decide.py`, purely; `perform.py` carries it out through calls of a completion
plugin (`scenario`, `challenges`, `propose`, `reflect`, `pick`). What is said to the model stands in `prompts/`, one
template per call, what it must answer in `replies.py`; `situation.py` says what is shown of a run, `render.py` what is
cut, `mixing.py` holds the arithmetic. A hypothesis changes the program by `{"sketch": Markdown}`, which a mutator with
a language model understands.
"""

from __future__ import annotations

from gome.events import Event, OpinionRequested, Payload, ProposalRequested, ReflectionRequested
from gome.kernel.plugin import Context, Effect, Plugin
from gome.plugins.reasoner.gome.decide import ANSWERS, NAME, READS, Asking, decide, evolve
from gome.plugins.reasoner.gome.events import ScenarioAnalysed, ScenarioFailed, ScenarioRequested
from gome.plugins.reasoner.gome.settings import Settings


async def _perform(event: Event, ctx: Context) -> Payload:
    """Templates and their engine are imported on first use: listing plugins stays quick."""
    from gome.plugins.reasoner.gome.perform import perform

    return await perform(event, ctx)


plugin = Plugin(
    name=NAME,
    role="reasoner",
    summary="a language model diagnoses, proposes scored hypotheses, chooses with the success memory; needs a model",
    reads=READS,
    answers=ANSWERS,
    initial=Asking,
    evolve=evolve,
    decide=decide,
    effects=(
        # What a call returned is recorded, so a second try would fail the same way.
        Effect(ScenarioRequested),
        Effect(ProposalRequested),
        Effect(ReflectionRequested, attempts=1),
        Effect(OpinionRequested, attempts=1),
    ),
    perform=_perform,
    emits=(ScenarioRequested, ScenarioAnalysed, ScenarioFailed),
    settings=Settings,
    needs=("completion",),
    modules=("gome.plugins.reasoner.gome",),
)
"""What the entry point names."""

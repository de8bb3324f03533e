"""Structured reasoning with a language model: diagnosis, scored hypotheses, a choice with the success memory in view.

When something is asked for is decided in `decide.py`, purely; `perform.py` carries it out through calls of a completion
plugin (`scenario`, `challenges`, `propose`, `reflect`, `pick`). What is said to the model stands in `prompts/`, one
template per call, what it must answer in `replies.py`; `situation.py` says what is shown of a run, `render.py` what is
cut, `mixing.py` holds the arithmetic. A hypothesis changes the program by `{"sketch": Markdown}`, which a mutator with
a language model understands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gome.events import Event, OpinionRequested, Payload, ProposalRequested, ReflectionRequested, Task
from gome.kernel.loop import loop_settings
from gome.kernel.plugin import Calls, Context, Effect, Plugin
from gome.plugins.reasoner.gome.decide import ANSWERS, NAME, READS, Asking, decide, evolve
from gome.plugins.reasoner.gome.events import ScenarioAnalysed, ScenarioFailed, ScenarioRequested
from gome.plugins.reasoner.gome.settings import Settings, read_settings


async def _perform(event: Event, ctx: Context) -> Payload:
    """Templates and their engine are imported on first use: listing plugins stays quick."""
    from gome.plugins.reasoner.gome.perform import perform

    return await perform(event, ctx)


def _calls(tables: dict[str, Any], task: Task) -> Sequence[Calls]:
    """What a run will ask: prompts as large as on a table of seventy columns, replies without a model's reasoning."""
    settings, loop = read_settings(tables.get(NAME)), loop_settings(tables)
    found = [Calls("scenario", "researcher", 3200, 800, per_run=1), Calls("feedback", "judge", 6000, 500, per_step=1)]
    if not loop.diagnosis:
        return [*found, Calls("change", "researcher", 5000, 1200, per_step=1)]
    # Early steps ask for challenges of the scenario, later ones for those of feedback, some in between for both.
    found += [
        Calls("challenges", "researcher", 4700, 1000, per_step=1.3),
        Calls("hypotheses", "researcher", 4500, 1500, per_step=1),
        Calls("sketch", "researcher", 5400, 1000, per_step=1),
    ]
    if settings.critique:
        found += [Calls(name, "researcher", 5000, 1500, per_step=1) for name in ("critique", "rewrite")]
    if settings.selection == "model":
        found.append(Calls("selection", "researcher", 4700, 400, per_step=1))
    return found


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
    pairs={"mutator": "llm"},
    calls=_calls,
    modules=("gome.plugins.reasoner.gome",),
)
"""What the entry point names."""

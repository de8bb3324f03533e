"""Completions from a record instead of a model: `--completions recorded:RUN`, with RUN a run of this log or a file.

`source.py` reads what was recorded, `answer.py` finds the reply and, where there is none, the nearest request. It opens
no socket; the log's is all that a run needs then.

    [recorded]
    run = "ames-1123-1412-3fa9"      # or a path to its records (.jsonl)
"""

from __future__ import annotations

from msgspec import Struct

from gome.events import CompletionRequested, Event
from gome.kernel.plugin import Context, Effect, Plugin, Result


class RecordedSettings(Struct, frozen=True):
    """`run` is the run whose completions answer, or the path of a file of records (`.jsonl`)."""

    run: str = ""


async def _perform(event: Event, ctx: Context) -> Result:
    from gome.plugins.completion.recorded.answer import answer

    return await answer(event, ctx)


plugin = Plugin(
    name="recorded",
    role="completion",
    summary="answers from the completions of a recorded run; asks no model",
    effects=(Effect(CompletionRequested, attempts=1),),
    perform=_perform,
    settings=RecordedSettings,
    modules=("gome.plugins.completion.recorded",),
)
"""What the entry point names."""

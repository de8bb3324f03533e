"""Performs the mutator's two intents: has a program written or mended (`CodeRequested`), has it looked at
(`ReviewRequested`). Everything asked of a model is a recorded child effect; what cannot be had is a result, not an
exception. Of the world only the first rows of the training table are read, where prompts may show them.
"""

from __future__ import annotations

import csv
import io
from itertools import islice

from gome.events import (
    Attempt,
    CodeRejected,
    CodeRequested,
    CodeWritten,
    Event,
    Payload,
    ReviewRequested,
    Task,
    Text,
)
from gome.kernel.completing import Completer
from gome.kernel.errors import GomeError
from gome.kernel.loop import Share, completion_settings
from gome.kernel.plugin import Artifacts, Context
from gome.plugins.mutator.llm.decide import sketch_of
from gome.plugins.mutator.llm.problems import in_short
from gome.plugins.mutator.llm.prompting import EARLIER, Situation, coarse
from gome.plugins.mutator.llm.review import review
from gome.plugins.mutator.llm.settings import settings_of
from gome.plugins.mutator.llm.write import Author

FIRST_ROWS = 5
"""Rows of train.csv that a prompt may show, and characters of a cell."""
CELL = 100
OTHERS = 2
"""Programs of other traces that a merge is shown."""


async def perform(event: Event, ctx: Context) -> Payload:
    """Answer one of the mutator's intents."""
    asked = event.payload
    settings = completion_settings(ctx.started.settings)
    profiled = ctx.trajectory.profiled
    situation = Situation.of(
        ctx.started,
        settings.share,
        profiled.profile if profiled else {},
        profiled.findings if profiled else (),
        first_rows(ctx.started.task, ctx.artifacts, settings.share),
    )
    if isinstance(asked, CodeRequested):
        return await _write(asked, ctx, Completer(ctx.call, settings, asked.attempt), situation)
    assert isinstance(asked, ReviewRequested)
    attempt = ctx.trajectory.attempts[asked.attempt]
    sketch = sketch_of(attempt.hypothesis) if attempt.hypothesis else ""
    ran = attempt.execution is not None and attempt.execution.program == asked.program.digest
    return await review(asked, Completer(ctx.call, settings, asked.attempt), situation, sketch, ran=ran)


async def _write(asked: CodeRequested, ctx: Context, complete: Completer, situation: Situation) -> Payload:
    settings = settings_of(ctx.settings)
    attempt = ctx.trajectory.attempts[asked.attempt]
    attempts = ctx.trajectory.attempts
    parent, others = attempts.get(attempt.parent), [attempts[name] for name in attempt.parents if name in attempts]
    took = parent.execution.seconds if parent and parent.execution else 0.0
    author = Author(
        complete=complete,
        situation=situation,
        settings=settings,
        known=ctx.trajectory.programs,
        others=[str(other.code.program) for other in others[:OTHERS] if other.code] if not asked.problem else [],
        earlier=earlier_faults(attempt),
        seconds=coarse(took),
    )
    try:
        program = Text.of(await author.program(asked))
    except GomeError as error:
        return CodeRejected(attempt=asked.attempt, reason=str(error))
    return CodeWritten(
        attempt=asked.attempt,
        program=program,
        digest=program.digest,
        number=asked.rewrite,
        repairs=max(0, settings.repairs - asked.rewrite),
        review=settings.review,
    )


def earlier_faults(attempt: Attempt) -> list[str]:
    """One line per fault of the attempt's versions before the latest, oldest first."""
    return [in_short(fault)[:EARLIER] for fault in attempt.faults[:-1]]


def first_rows(task: Task, artifacts: Artifacts, share: Share) -> str:
    """Header and first rows of train.csv, long cells cut; "" unless prompts may show rows."""
    if share != "sample":
        return ""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    with open(artifacts.path(task.train.digest), newline="", encoding="utf-8") as file:
        for row in islice(csv.reader(file), FIRST_ROWS + 1):
            writer.writerow([cell if len(cell) <= CELL else cell[:CELL] + "…" for cell in row])
    return out.getvalue()

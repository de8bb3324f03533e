"""What this reasoner does when it is asked: the one place where its calls' failures become events.

A proposal that cannot be had ends its step, not the run: `ProposalFailed`, never `exhausted`, so that the search goes
on. An analysis that cannot be had is told as `ScenarioFailed`. A reflection or an opinion on candidates that cannot be
had is no event of ours but the effect's failure: nobody should take numbers for a view, and judge and selection know
what to do without one.
"""

from __future__ import annotations

from gome.events import (
    Event,
    OpinionRequested,
    Payload,
    ProposalFailed,
    ProposalRequested,
    ReflectionRequested,
    Text,
)
from gome.kernel.completing import CompletionUnavailable, ReplyUnusable
from gome.kernel.errors import ChildEffectFailed, UsageError
from gome.kernel.plugin import Context
from gome.kernel.reasoning import context_of, proposed, reflected
from gome.plugins.reasoner.gome.events import ScenarioFailed, ScenarioRequested
from gome.plugins.reasoner.gome.pick import pick
from gome.plugins.reasoner.gome.propose import propose
from gome.plugins.reasoner.gome.reflect import reflect
from gome.plugins.reasoner.gome.scenario import analyse
from gome.plugins.reasoner.gome.settings import read_settings
from gome.plugins.reasoner.gome.situation import Situation, table_head

FAILURES = (CompletionUnavailable, ReplyUnusable, ChildEffectFailed, UsageError)
"""Ways in which a call gives nothing: no reply, none that fits, no budget or performer for it, no model named."""


def situation_of(ctx: Context, attempt: str, scenario: Text) -> Situation:
    """The step that an effect is about, as prompts need it."""
    return Situation(
        context=context_of(ctx, attempt),
        settings=read_settings(ctx.settings),
        scenario=str(scenario),
        table=table_head(ctx),
    )


async def perform(event: Event, ctx: Context) -> Payload:
    """Carry out one intent."""
    match event.payload:
        case ScenarioRequested() as asked:
            try:
                return await analyse(asked, ctx)
            except FAILURES as error:
                return ScenarioFailed(round=asked.round, reason=str(error))
        case ProposalRequested(attempt=attempt, scenario=scenario):
            try:
                return proposed(attempt, await propose(situation_of(ctx, attempt, scenario)))
            except FAILURES as error:
                return ProposalFailed(attempt=attempt, reason=str(error))
        case ReflectionRequested(attempt=attempt, scenario=scenario):
            return reflected(attempt, await reflect(situation_of(ctx, attempt, scenario)))
        case OpinionRequested() as asked_for:
            return await pick(asked_for, ctx)
    raise TypeError(f"this reasoner does not perform {event.type}")

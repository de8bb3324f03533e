"""A reasoner that asks a language model: it shows what the success memory knows and takes one number back."""

from typing import Annotated

from msgspec import Meta, Struct

from gome.events import Hypothesis
from gome.kernel.reasoning import Feedback, ReasonContext


class Idea(Struct):
    statement: str
    reason: str
    leaves: Annotated[int, Meta(ge=2, le=64)]


class Asker:
    needs = ("completion",)

    async def propose(self, context: ReasonContext) -> Hypothesis:
        known = await context.recall(["change the number of leaves"])
        lessons = "\n".join(f"{r.statement}: gained {r.gain:.4g}. {r.lesson}" for r in known)
        idea = await context.complete(
            "idea",
            system="You tune LightGBM, one change at a time.",
            user=f"Improve {context.task.metric.name}. What paid so far:\n{lessons or 'nothing yet'}",
            reply=Idea,
        )
        member = {"model": {"family": "booster", "leaves": idea.leaves}}
        return Hypothesis(
            statement=idea.statement,
            component="model",
            reason=idea.reason,
            change={"pipeline": {"members": [member]}},
            learnt_from=tuple(r.attempt for r in known),
        )

    def reflect(self, context: ReasonContext) -> Feedback:
        return Feedback(accept=True, observations=f"it scored {context.attempt.score}")

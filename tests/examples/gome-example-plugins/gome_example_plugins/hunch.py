"""The smallest reasoner that is good for something: it tries one learning rate after the other."""

from gome.events import Hypothesis
from gome.kernel.reasoning import Feedback, ReasonContext


class Hunch:
    def propose(self, context: ReasonContext) -> Hypothesis | None:
        number = context.attempt.number
        if number > 9:
            return None
        rate = round(0.2 * 0.7**number, 4)
        member = {"model": {"family": "booster", "learning_rate": rate}}
        return Hypothesis(
            statement=f"boost with learning rate {rate}",
            component="model",
            reason="smaller steps overfit later",
            change={"pipeline": {"members": [member]}},
        )

    def reflect(self, context: ReasonContext) -> Feedback:
        return Feedback(accept=True, observations=f"it scored {context.attempt.score}", lesson="rates matter")

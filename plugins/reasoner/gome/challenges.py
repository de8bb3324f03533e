"""The diagnosis: what holds the solution back, from the scenario (call C1) and from feedback (call C2)."""

from __future__ import annotations

from dataclasses import dataclass

from gome.events import Challenge
from gome.kernel.completing import ReplyError, ReplyUnusable
from gome.plugins.reasoner.gome.mixing import Label, kinds
from gome.plugins.reasoner.gome.replies import Challenges, FoundChallenge, key
from gome.plugins.reasoner.gome.situation import Situation


@dataclass(frozen=True)
class Diagnosis:
    """Challenges by the key of their caption, in the order in which they were named, with where each came from."""

    found: dict[str, FoundChallenge]
    labels: dict[str, Label]

    @property
    def events(self) -> tuple[Challenge, ...]:
        """The challenges as they are recorded."""
        return tuple(
            Challenge(name=c.caption, evidence=f"{c.statement} {c.evidence}", weight=c.weight)
            for c in self.found.values()
        )

    @property
    def entries(self) -> list[str]:
        """The challenges as a prompt lists them."""
        return [
            f"caption: {c.caption}\nweight: {c.weight:g}\nchallenge: {c.statement}\nevidence: {c.evidence}"
            for c in self.found.values()
        ]

    def named(self, caption: str) -> FoundChallenge:
        """The challenge of a caption; `ReplyError` when there is none."""
        if (challenge := self.found.get(key(caption))) is None:
            known = "; ".join(c.caption for c in self.found.values())
            raise ReplyError(f"there is no challenge {caption!r}; use one of these captions exactly: {known}")
        return challenge

    def label(self, caption: str) -> Label:
        """Where the challenge of a caption came from."""
        return self.labels.get(key(caption), "feedback")


async def diagnose(situation: Situation, m: int) -> Diagnosis:
    """Ask for the challenges that the multiplier calls for. One of two calls may come to nothing; `ReplyUnusable` is
    raised when no call has given any."""
    diagnosis = Diagnosis({}, {})
    unusable: ReplyUnusable | None = None
    for label in kinds(m):
        name = f"{label}_challenges"
        try:
            reply = await situation.ask(name, Challenges)
        except ReplyUnusable as error:
            unusable = error
            continue
        for challenge in reply.challenges:
            diagnosis.found[key(challenge.caption)] = challenge
            diagnosis.labels[key(challenge.caption)] = label
    if unusable and not diagnosis.found:
        raise unusable
    return diagnosis

"""What is said about a finished attempt: the reasoner's opinion and the judge's verdict."""

from __future__ import annotations

from typing import ClassVar

from gome.events.artifact import Text
from gome.events.payload import Intent, Payload


class ReflectionRequested(Intent, frozen=True):
    """Asks the run's reasoner what an attempt has taught. `scenario` is what it has found out about the task before,
    as in `ProposalRequested`."""

    attempt: str
    scenario: Text = Text(text="")
    volatile: ClassVar[tuple[str, ...]] = ("attempt",)


class FeedbackGiven(Payload, frozen=True):
    """The reasoner's opinion; it decides nothing.

    `accept` is what the reasoner would do, `observations` what happened, `reason` why, `lesson` what to remember,
    `aligned` whether it trusts that the validation score measures the hidden one.
    """

    attempt: str
    accept: bool
    observations: str = ""
    reason: str = ""
    lesson: str = ""
    aligned: bool = True


class AttemptAccepted(Payload, frozen=True):
    """The judge takes the attempt as its trace's new solution.

    `gain` is the paired improvement over the parent (metric units, positive better; for a first attempt over the
    baseline when there is one, else 0), `noise` the guard's σ, `rule` the rule that decided.
    """

    attempt: str
    gain: float = 0.0
    noise: float = 0.0
    rule: str = ""
    reason: str = ""


class AttemptRejected(Payload, frozen=True):
    """The judge refuses the attempt, or it failed before it could be judged (`failure` says how)."""

    attempt: str
    reason: str = ""
    gain: float = 0.0
    noise: float = 0.0
    rule: str = ""
    failure: str = ""

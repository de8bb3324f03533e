"""What a reasoner says before code is written: challenges, hypotheses and the request for one."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct, field

from gome.events.artifact import Text
from gome.events.payload import Intent, Payload


class Challenge(Struct, frozen=True, omit_defaults=True):
    """Something that holds the solution back: a name, the evidence for it, and its weight in [0, 1]."""

    name: str
    evidence: str
    weight: float = 0.0


class Scores(Struct, frozen=True):
    """The five judgements of a hypothesis, each 1–10."""

    alignment: float = 5.0
    impact: float = 5.0
    novelty: float = 5.0
    feasibility: float = 5.0
    risk_reward: float = 5.0

    @property
    def total(self) -> float:
        """Weighted sum with weights .2 .4 .2 .1 .1 (Gome, section on hypothesis scoring)."""
        return (
            0.2 * self.alignment
            + 0.4 * self.impact
            + 0.2 * self.novelty
            + 0.1 * self.feasibility
            + 0.1 * self.risk_reward
        )


class Hypothesis(Struct, frozen=True, omit_defaults=True):
    """One falsifiable change for the better.

    `statement` says what to change, `reason` why it should help, `problem` the challenge it answers, `component` the
    part of the solution it touches (data, features, target, model, training, ensemble, workflow). `change` is what the
    mutator needs to write it: for the pipeline mutator a partial or whole pipeline specification as plain JSON, for a
    language-model mutator a sketch. `expected_gain` is the reasoner's forecast in units of the metric, positive better.
    """

    statement: str
    component: str
    change: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    problem: str = ""
    move: str = ""
    scores: Scores = Scores()
    expected_gain: float = 0.0
    learnt_from: tuple[str, ...] = ()


class ProposalRequested(Intent, frozen=True):
    """Asks the run's reasoner for one hypothesis for a planned step. `scenario` is what the reasoner has found out
    about the task before ("" text for nothing), in its own words."""

    attempt: str
    trace: int
    parent: str = ""
    kind: str = "draft"
    stage: str = "draft"
    scenario: Text = Text(text="")
    volatile: ClassVar[tuple[str, ...]] = ("attempt",)


class HypothesisProposed(Payload, frozen=True):
    """The hypothesis chosen for a step, with the diagnosis behind it and the ones that were passed over."""

    attempt: str
    hypothesis: Hypothesis
    challenges: tuple[Challenge, ...] = ()
    considered: tuple[Hypothesis, ...] = ()
    chosen: str = "select"


class ProposalFailed(Payload, frozen=True):
    """The reasoner had nothing to propose, or could not; the step ends as a failed attempt."""

    attempt: str
    reason: str
    exhausted: bool = False

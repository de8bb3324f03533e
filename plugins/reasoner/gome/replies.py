"""What each call must be answered with: one type per reply, with bounds and a word on every field. These texts become
the JSON schema that the model is given, so they are part of the prompts.

Reasons and evidence stand before verdicts and scores, because a model writes in this order. What a reply means is
checked here as far as the reply alone tells; what needs the question (captions that exist, numbers in range) is checked
where the question is asked.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from gome.events import Scores

Component = Literal["data", "features", "target", "model", "training", "ensemble", "workflow"]
Sentence = Annotated[str, Meta(min_length=1)]
Caption = Annotated[str, Meta(min_length=1, max_length=200)]


class Judgement(Struct, frozen=True):
    """Five scores of a hypothesis, each from 1 (worst) to 10 (best)."""

    alignment: Annotated[float, Meta(ge=1, le=10, description="how squarely it meets the challenge it answers")]
    impact: Annotated[float, Meta(ge=1, le=10, description="how much the validation score should gain")]
    novelty: Annotated[
        float,
        Meta(ge=1, le=10, description="1 when the like was tried already, unless that try died of a trivial bug"),
    ]
    feasibility: Annotated[
        float, Meta(ge=1, le=10, description="how surely it can be written and run within time and memory")
    ]
    risk_reward: Annotated[float, Meta(ge=1, le=10, description="how well the likely gain pays for what may go wrong")]

    @property
    def scores(self) -> Scores:
        """The same as the value that events carry."""
        return Scores(self.alignment, self.impact, self.novelty, self.feasibility, self.risk_reward)


class Scenario(Struct, frozen=True):
    """A reading of the task that all later work goes by."""

    problem: Annotated[Sentence, Meta(description="what is predicted from what, and who would use it")]
    data: Annotated[
        Sentence, Meta(description="what a row is, how rows depend on one another, what is scarce or dirty")
    ]
    metric: Annotated[
        Sentence, Meta(description="what the metric rewards and punishes, and what that asks of predictions")
    ]
    traps: Annotated[list[Sentence], Meta(max_length=8, description="ways to be misled here, each with its sign")]
    approaches: Annotated[
        list[Sentence],
        Meta(min_length=1, max_length=8, description="what tends to win on such problems, strongest first"),
    ]


class FoundChallenge(Struct, frozen=True):
    """One thing that holds the solution back."""

    evidence: Annotated[Sentence, Meta(description="the figures or facts that show it, and how it costs score")]
    statement: Annotated[Sentence, Meta(description="the challenge itself, technical and specific; not a remedy")]
    weight: Annotated[float, Meta(ge=0, le=1, description="share of the remaining error that hangs on it")]
    caption: Annotated[Caption, Meta(description="its name in 5 to 15 words, different from every other")]


class Challenges(Struct, frozen=True):
    """A diagnosis: what was looked at, and the few challenges that matter most."""

    analysis: Annotated[list[Sentence], Meta(min_length=1, max_length=12, description="what you see, point by point")]
    challenges: Annotated[list[FoundChallenge], Meta(min_length=1, max_length=5, description="weightiest first")]

    def __post_init__(self) -> None:
        _distinct([c.caption for c in self.challenges], "caption")


class FoundHypothesis(Struct, frozen=True):
    """One change that should meet one challenge."""

    challenge: Annotated[Caption, Meta(description="the caption of the challenge, as it was given")]
    reason: Annotated[Sentence, Meta(description="why it should help here, with the evidence")]
    statement: Annotated[
        Sentence, Meta(description="the change: one course of action, specific enough to be written and tested")
    ]
    component: Annotated[Component, Meta(description="the part of the program that it mostly touches")]
    scores: Judgement


class Hypotheses(Struct, frozen=True):
    """Hypotheses, at most one for each challenge."""

    hypotheses: Annotated[list[FoundHypothesis], Meta(min_length=1, max_length=10)]

    def __post_init__(self) -> None:
        _distinct([h.challenge for h in self.hypotheses], "challenge")


class Critique(Struct, frozen=True):
    """What an honest colleague says about one hypothesis."""

    challenge: Annotated[Caption, Meta(description="the caption of its challenge, as it was given")]
    critique: Annotated[
        Sentence, Meta(description="whether it can be done, whether it meets its challenge, how to make it better")
    ]


class Critiques(Struct, frozen=True):
    """A critique of every hypothesis."""

    critiques: Annotated[list[Critique], Meta(min_length=1)]


class Choice(Struct, frozen=True):
    """The change to make now."""

    reason: Annotated[Sentence, Meta(description="why this one, now, with what is remembered in view")]
    action: Annotated[
        Literal["select", "modify", "create"],
        Meta(description="take a candidate as it is; change one; or make one of several candidates and memories"),
    ]
    challenge: Annotated[
        Caption, Meta(description="caption of the challenge: the candidate's own to select or modify it")
    ]
    statement: Annotated[str, Meta(description="the change in full; leave empty to select")] = ""
    component: Annotated[Component | None, Meta(description="the part it mostly touches; leave out to select")] = None
    scores: Judgement | None = None
    remembered: Annotated[list[int], Meta(description="numbers of the memories that the choice builds on")] = field(
        default_factory=list
    )

    def __post_init__(self) -> None:
        if self.action != "select" and not self.statement.strip():
            raise ValueError(f"to {self.action} needs the change in full under statement")
        if self.action == "create" and (self.scores is None or self.component is None):
            raise ValueError("to create needs component and scores")


class Sketch(Struct, frozen=True):
    """A plan that a developer can write the program from."""

    starting_point: Annotated[str, Meta(description="what of the present program stays as it is")]
    changes: Annotated[list[Sentence], Meta(min_length=1, description="what becomes different, step by step")]
    sketch: Annotated[
        Sentence,
        Meta(description="the whole plan as Markdown with headings of level 3, complete without the other fields"),
    ]


class Change(Struct, frozen=True):
    """One change, straight from what is known."""

    reason: Annotated[Sentence, Meta(description="why it should help")]
    statement: Annotated[Sentence, Meta(description="the change in one or two sentences")]
    component: Annotated[Component, Meta(description="the part of the program that it mostly touches")]
    sketch: Annotated[Sentence, Meta(description="the plan of the changed program as Markdown")]


class Joined(Struct, frozen=True):
    """One way to join what several solutions have found."""

    reason: Annotated[Sentence, Meta(description="why the parts add up instead of standing in each other's way")]
    statement: Annotated[Sentence, Meta(description="what is taken from which solution and how it is put together")]
    component: Annotated[Component, Meta(description="the part of the program that it mostly touches")]
    scores: Judgement


class Merges(Struct, frozen=True):
    """Ways to join several solutions."""

    hypotheses: Annotated[list[Joined], Meta(min_length=1, max_length=4)]


class Verdict(Struct, frozen=True):
    """An opinion of one attempt in three layers. What is left out counts as the worse answer."""

    observations: Annotated[str, Meta(description="what happened, with the figures, in at most three sentences")] = ""
    format_valid: Annotated[bool, Meta(description="layer 1: files and predictions are what the task asks for")] = False
    alignment: Annotated[
        str, Meta(description="layer 2: evidence for or against trusting the validation score on hidden data")
    ] = ""
    aligned: Annotated[
        bool, Meta(description="layer 2: false when leakage or a mismatch could turn the comparison around")
    ] = False
    analysis: Annotated[
        str, Meta(description="layer 3: whether the change did what the hypothesis said, and what explains the result")
    ] = ""
    better: Annotated[bool, Meta(description="layer 3: it should replace the solution that it was built on")] = False
    reason: Annotated[str, Meta(description="the ground of the verdict in at most three sentences")] = ""
    lesson: Annotated[str, Meta(description="what to remember on other traces: one sentence that stands by itself")] = (
        ""
    )


class Ranking(Struct, frozen=True):
    """The order in which candidates should be handed in."""

    reason: Annotated[Sentence, Meta(description="what decided, with the figures")]
    order: Annotated[list[int], Meta(min_length=1, description="every candidate's number once, the best first")]


def key(caption: str) -> str:
    """What makes two captions the same: case and spaces do not matter."""
    return " ".join(caption.casefold().split())


def _distinct(captions: list[str], what: str) -> None:
    keys = [key(c) for c in captions]
    twice = next((c for c, k in zip(captions, keys, strict=True) if keys.count(k) > 1), None)
    if twice is not None:
        raise ValueError(f"each {what} may stand once, but {twice!r} stands twice")

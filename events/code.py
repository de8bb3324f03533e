"""What a mutator says: the program of an attempt, or why there is none; and what it asks a model for to get there."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from msgspec import field

from gome.events.artifact import Text
from gome.events.payload import Intent, Payload


class CodeWritten(Payload, frozen=True):
    """A program, whole, as a person could run it.

    `spec` is the declarative specification it was rendered from (empty when a model wrote it). `trusted` marks
    programs rendered from a closed vocabulary; `renderer` is the digest of the renderer, against which the runner
    checks that claim. `members` are the content keys of predictions the program writes and can reuse
    (`members/<key>/`). `number` counts the attempt's programs (0-based); `repairs` says how many more the mutator will
    write if this one fails (0: a failure ends the attempt). With `review` the full execution waits for `CodeReviewed`.
    """

    attempt: str
    program: Text
    digest: str
    spec: dict[str, Any] = field(default_factory=dict)
    trusted: bool = False
    renderer: str = ""
    members: tuple[str, ...] = ()
    estimate_seconds: float = 0.0
    number: int = 0
    repairs: int = 0
    review: bool = False


class CodeRejected(Payload, frozen=True):
    """No program could be written for the hypothesis; the step ends as a failed attempt."""

    attempt: str
    reason: str


class CodeRequested(Intent, frozen=True):
    """Asks the mutator's model for a program: written for a hypothesis (`write`), or rewritten after a failed execution
    or a review that found fault (`repair`). `sketch` says what the program shall do: the hypothesis in words. `program`
    is the one to start from ("" text for none), `problem` what is wrong with it. `rewrite` counts the attempt's earlier
    versions."""

    attempt: str
    purpose: Literal["write", "repair"]
    sketch: Text = Text(text="")
    program: Text = Text(text="")
    problem: str = ""
    rewrite: int = 0
    volatile: ClassVar[tuple[str, ...]] = ("attempt",)


class ReviewRequested(Intent, frozen=True):
    """Asks a judge model whether a program does what the task and the hypothesis ask, before its full execution: after
    its debug execution, where it has one. The runner asks, since it knows which execution comes next."""

    attempt: str
    program: Text
    volatile: ClassVar[tuple[str, ...]] = ("attempt",)


class CodeReviewed(Payload, frozen=True):
    """The verdict on a program before its full execution. `digest` is the program's, `problem` what to repair. A judge
    model gives it, or the runner itself about a program whose full execution would not end within its limit."""

    attempt: str
    digest: str
    ok: bool
    problem: str = ""

"""What a mutator says: the program of an attempt, or why there is none."""

from __future__ import annotations

from typing import Any

from msgspec import field

from gome.events.artifact import Text
from gome.events.payload import Payload


class CodeWritten(Payload, frozen=True):
    """A program, whole, as a person could run it.

    `spec` is the declarative specification it was rendered from (empty when a model wrote it). `trusted` marks
    programs rendered from a closed vocabulary; `renderer` is the digest of the renderer, against which the runner
    checks that claim. `members` are the content keys of predictions the program writes and can reuse
    (`members/<key>/`).
    """

    attempt: str
    program: Text
    digest: str
    spec: dict[str, Any] = field(default_factory=dict)
    trusted: bool = False
    renderer: str = ""
    members: tuple[str, ...] = ()
    estimate_seconds: float = 0.0


class CodeRejected(Payload, frozen=True):
    """No program could be written for the hypothesis; the step ends as a failed attempt."""

    attempt: str
    reason: str

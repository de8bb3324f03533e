"""What final selection says: reruns of candidates and the submission that is handed in."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from gome.events.artifact import Artifact, Text
from gome.events.payload import Intent, Payload


class SelectionStarted(Payload, frozen=True):
    """No further steps are planned: what exists is compared. Said once, by the kernel's lifecycle."""

    reason: str


class CandidateRerun(Payload, frozen=True):
    """Final selection runs a candidate again with a new model seed and fold partition."""

    attempt: str
    repeat: int
    seed: int
    partition: int


class Candidate(Struct, frozen=True, omit_defaults=True):
    """A row of the selection table: mean score over reruns, paired difference to the leader with its pooled SE."""

    attempt: str
    score: float
    difference: float = 0.0
    se: float = 0.0
    rank_score: float = 0.0
    reruns: int = 0
    audited: str = ""


class OpinionRequested(Intent, frozen=True):
    """Asks the run's reasoner in which order it would hand in some candidates; it is shown their programs, validation
    scores and feedback. Reasoners without an opinion do not perform it, which fails the effect."""

    candidates: tuple[Candidate, ...]
    volatile: ClassVar[tuple[str, ...]] = ()


class OpinionGiven(Payload, frozen=True):
    """Every candidate's attempt, the one to hand in first, and why. It decides nothing."""

    order: tuple[str, ...]
    reason: str = ""


class SubmissionSelected(Payload, frozen=True):
    """What is handed in.

    `program` is the whole program with its selected seeds and partitions; `submission` the file handed in (mean over
    reruns where the metric allows averaging, else the median run) and `oof` its out-of-fold predictions.
    """

    attempt: str
    score: float
    se: float
    submission: Artifact
    oof: Artifact
    program: Text
    seeds: tuple[int, ...] = ()
    partitions: tuple[int, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    reason: str = ""


class SelectionFailed(Payload, frozen=True):
    """There was nothing valid to hand in."""

    reason: str

"""What this selection says beyond the common vocabulary: its plan, the wishes to average, and what came of it."""

from __future__ import annotations

from typing import ClassVar

from gome.events import Artifact, Intent, Payload


class SelectionPlanned(Payload, frozen=True):
    """Who is compared and how, as far as the time left allows.

    `candidates` best first by validation score; rerun r (1-based) uses `seeds[r-1]` and `partitions[r-1]`, the same for
    all. `audited` are the candidates that must also pass a masked fold. `seconds` is what all of it should take.
    """

    policy: str
    candidates: tuple[str, ...]
    seeds: tuple[int, ...]
    partitions: tuple[int, ...]
    audited: tuple[str, ...] = ()
    seconds: float = 0.0


class AverageRequested(Intent, frozen=True):
    """Asks for the mean of several runs' submissions and of their out-of-fold predictions, in run order.

    All files have the same ids; `id` is the id column, `columns` are the prediction columns. The mean's `fold` column
    is the first run's.
    """

    submissions: tuple[Artifact, ...]
    oofs: tuple[Artifact, ...]
    id: str
    columns: tuple[str, ...]


class EnsembleRequested(Intent, frozen=True):
    """Asks for the weighted mean of several attempts' submissions and of their out-of-fold predictions.

    `attempts`, best first, go with files and `weights` (> 0, sum 1), one each. The rest is as in `AverageRequested`.
    """

    attempts: tuple[str, ...]
    submissions: tuple[Artifact, ...]
    oofs: tuple[Artifact, ...]
    weights: tuple[float, ...]
    id: str
    columns: tuple[str, ...]
    volatile: ClassVar[tuple[str, ...]] = ("attempts",)


class SubmissionAveraged(Payload, frozen=True):
    """The mean submission (rows as in the first file) and its out-of-fold predictions."""

    submission: Artifact
    oof: Artifact

"""What the scorer is asked and what it answers: folds, profile of the data, public scores, hidden grades."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct, field

from gome.events.artifact import Artifact
from gome.events.execution import Purpose
from gome.events.payload import Intent, Payload
from gome.events.task import Task


class ProfileRequested(Intent, frozen=True):
    """Asks for the folds of a task (all partitions) and a profile of its tables."""

    task: Task
    seed: int
    folds: int = 5
    partitions: int = 8


class DataProfiled(Payload, frozen=True):
    """What the tables look like, and the folds every program must use.

    `folds` is `folds.csv`: `id`, then `p0 … p<n-1>`, the fold number (0-based) of each training row in each partition.
    `sample` is `sample_submission.csv`. `profile` holds plain numbers and lists (rows, missing shares, cardinalities,
    skew of the target, adversarial AUC with its columns, duplicates, …), small enough to be an event. `findings` are
    sentences for a person: leaks, traps, drift.
    """

    folds: Artifact
    sample: Artifact
    fold_count: int
    partitions: int
    profile: dict[str, Any] = field(default_factory=dict)
    findings: tuple[str, ...] = ()


class MaskRequested(Intent, frozen=True):
    """Asks for the inputs of an audit: one fold's labels removed, its rows appended to the test table."""

    task: Task
    folds: Artifact
    partition: int
    fold: int


class FoldMasked(Payload, frozen=True):
    """Inputs of an audit by file name (`train.csv`, `test.csv`, `folds.csv`, `sample_submission.csv`)."""

    partition: int
    fold: int
    inputs: dict[str, Artifact]


class Against(Struct, frozen=True):
    """Another attempt's out-of-fold predictions to compare with, row by row."""

    attempt: str
    oof: Artifact


class ScoreRequested(Intent, frozen=True):
    """Asks the scorer to check an execution's files and to compute its score from the out-of-fold predictions.

    For an audit (`masked_fold` set) the score of that fold from `outputs["submission.csv"]` is compared with `claim`,
    the out-of-fold predictions that are being audited.
    """

    task: Task
    attempt: str
    purpose: Purpose
    outputs: dict[str, Artifact]
    folds: Artifact
    seed: int = 0
    partition: int = 0
    masked_fold: int | None = None
    against: tuple[Against, ...] = ()
    others: tuple[Against, ...] = ()
    claim: Artifact | None = None
    final: bool = False
    volatile: ClassVar[tuple[str, ...]] = ("attempt",)


class Comparison(Struct, frozen=True, omit_defaults=True):
    """This attempt minus another, paired on the same rows and folds, positive better whatever the metric.

    `difference` is the mean over folds of the per-fold improvement, `row_se` its row-paired bootstrap standard error.
    """

    attempt: str
    difference: float
    row_se: float
    fold_differences: tuple[float, ...] = ()
    correlation: float = 0.0


class Doubt(Struct, frozen=True, omit_defaults=True):
    """A sign that a valid score is not to be believed: its name, a sentence, and the figures behind it."""

    name: str
    evidence: str
    figures: dict[str, float] = field(default_factory=dict)


class SubmissionScored(Payload, frozen=True):
    """A valid submission and its public validation score (mean over folds), with the folds' scores and the bootstrap
    standard error. `diagnostics` are the scorer's own (error by slice, slope of residual on prediction, calibration,
    share of outliers, residual correlation with earlier attempts). `doubts` are reasons to audit it."""

    attempt: str
    purpose: Purpose
    score: float
    fold_scores: tuple[float, ...] = ()
    se: float = 0.0
    seed: int = 0
    partition: int = 0
    masked_fold: int | None = None
    comparisons: tuple[Comparison, ...] = ()
    diagnostics: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Artifact] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()


class SubmissionRejected(Payload, frozen=True):
    """The files break the contract (`layer` 1, format) or do not stand up to the audit (`layer` 2, alignment)."""

    attempt: str
    purpose: Purpose
    reason: str
    layer: int = 1
    seed: int = 0
    partition: int = 0
    masked_fold: int | None = None


class SubmissionGraded(Payload, frozen=True):
    """A hidden grade; it lives in the vault, never in a run's log.

    `score` and `se` are on the hidden answers; `comparisons` (final submission only) are paired bootstrap differences
    to the baseline and the first attempt, with `low` and `high` bounds of the 95 % interval in `intervals`.
    """

    attempt: str
    score: float
    se: float = 0.0
    final: bool = False
    comparisons: tuple[Comparison, ...] = ()
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)

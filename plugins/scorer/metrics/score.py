"""Scores an attempt: layer 1 checks, then the metric per fold recomputed from the out-of-fold predictions.

Nothing that a program prints or writes into `scores.csv` is believed. Rivals (`against`) are compared pairwise on the
same rows and folds; a rival whose file cannot be used is left out, since it is not this attempt's fault. Called by
`perform.py` in a worker thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gome.events import Against, Artifact, Comparison, Doubt, ScoreRequested, SubmissionRejected, SubmissionScored, Task
from gome.kernel.plugin import Artifacts
from gome.plugins.scorer.metrics.bootstrap import fold_resamples, fold_values, standard_error
from gome.plugins.scorer.metrics.check import OutOfFold, out_of_fold, submission
from gome.plugins.scorer.metrics.diagnose import correlation, diagnose, residuals
from gome.plugins.scorer.metrics.doubts import doubts
from gome.plugins.scorer.metrics.tables import (
    Floats,
    Ints,
    TableError,
    fold_numbers,
    frame_of,
    row_ids,
    training_target,
)

FILES = ("oof.csv", "submission.csv")


def rejected(asked: ScoreRequested, reason: str, layer: int = 1) -> SubmissionRejected:
    """The refusal of what was asked about."""
    return SubmissionRejected(
        attempt=asked.attempt,
        purpose=asked.purpose,
        reason=reason,
        layer=layer,
        seed=asked.seed,
        partition=asked.partition,
        masked_fold=asked.masked_fold,
    )


def score(store: Artifacts, asked: ScoreRequested, seed: int) -> SubmissionScored | SubmissionRejected:
    """Check and score one execution's files; `seed` draws the bootstrap."""
    task = asked.task
    for name in FILES:
        if name not in asked.outputs:
            return rejected(asked, f"the program wrote no {name}; write it into the working folder")
    folds = fold_numbers(store, task, asked.folds, asked.partition)
    ids = row_ids(store, task.train, task.id)
    try:
        own = out_of_fold(store, task, asked.outputs["oof.csv"], ids, folds)
        submission(store, task, asked.outputs["submission.csv"], row_ids(store, task.test, task.id))
    except TableError as error:
        return rejected(asked, str(error))
    truth = training_target(store, task)
    rivals = _readable(store, asked, asked.against, folds)
    everyone = [own.predicted, *(r.predicted for _, r in rivals)]
    by_fold = fold_values(task, truth, everyone, folds)
    defined = np.isfinite(by_fold[0])
    if not defined.any():
        return rejected(asked, f"{task.metric.name} is undefined on every fold of these out-of-fold predictions")
    resamples = fold_resamples(task, truth, everyone, folds, seed)
    diagnostics: dict[str, Any] = {}
    suspected: tuple[Doubt, ...] = ()
    overall = float(by_fold[0][defined].mean())
    if asked.purpose == "full":
        diagnostics = diagnose(task, truth, own.predicted, frame_of(store, task.train))
        suspected = doubts(store, asked, truth, own.predicted, folds, overall)
        left = residuals(task, truth, own.predicted)
        others = [(name, r) for name, r in _readable(store, asked, asked.others, folds)]
        diagnostics["correlation"] = {
            name: round(correlation(left, residuals(task, truth, r.predicted)), 4) for name, r in [*rivals, *others]
        }
    return SubmissionScored(
        attempt=asked.attempt,
        purpose=asked.purpose,
        score=overall,
        fold_scores=tuple(float(v) for v in by_fold[0][defined]),
        se=standard_error(resamples[0]),
        seed=asked.seed,
        partition=asked.partition,
        comparisons=tuple(
            _comparison(task, name, truth, own.predicted, rival.predicted, by_fold[[0, row]], resamples[[0, row]])
            for row, (name, rival) in enumerate(rivals, start=1)
        ),
        diagnostics=diagnostics,
        outputs=asked.outputs,
        doubts=suspected,
    )


def _comparison(
    task: Task, name: str, truth: Floats, own: Floats, rival: Floats, by_fold: Floats, resamples: Floats
) -> Comparison:
    """This attempt (row 0) minus the rival (row 1), positive better."""
    sign = 1.0 if task.metric.greater_is_better else -1.0
    differences = sign * (by_fold[0] - by_fold[1])
    differences = differences[np.isfinite(differences)]
    return Comparison(
        attempt=name,
        difference=float(differences.mean()) if len(differences) else 0.0,
        row_se=standard_error(resamples[0] - resamples[1]),
        fold_differences=tuple(float(d) for d in differences),
        correlation=round(correlation(residuals(task, truth, own), residuals(task, truth, rival)), 6),
    )


def _readable(
    store: Artifacts, asked: ScoreRequested, rivals: Sequence[Against], folds: Ints
) -> list[tuple[str, OutOfFold]]:
    """Out-of-fold predictions of other attempts, those that stand up to the same checks."""
    ids = row_ids(store, asked.task.train, asked.task.id)
    found = []
    for rival in rivals:
        try:
            found.append((rival.attempt, out_of_fold(store, asked.task, rival.oof, ids, folds)))
        except TableError:
            continue
    return found


def predictions_of(store: Artifacts, task: Task, file: Artifact) -> Floats | None:
    """A stored submission's predictions in the order of test.csv, None when it would be refused."""
    try:
        return submission(store, task, file, row_ids(store, task.test, task.id))
    except TableError:
        return None

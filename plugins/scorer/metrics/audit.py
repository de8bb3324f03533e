"""Layer 2, alignment: does a score stand when the labels it was computed from are really out of reach?

The program has run again without one fold's labels, with that fold's rows in its test table. What it predicts there is
compared, row by row, with what it claimed out of fold for the same rows. Only a claim that is *better* than the audit
fails. Three things separate an honest pair: resampling noise (two paired standard errors are allowed), the missing
fold of training data (a little worse), and the mean of the remaining folds' models (a little better, so never a
failure). For the second, a share of what the claim achieves over a constant prediction is allowed.

Measured on five sets of the suite with boosters and linear models: beyond two standard errors, honest programs needed
0.0 % of it on ames, attrition, cells and credit, 1.8 % on leaf (log loss, 32 classes, 33 rows each); an encoding of
two binned columns by the target of all rows needed more than 2 % in 3 of 5 folds of ames, 10 to 80 % elsewhere.
"""

from __future__ import annotations

import numpy as np

from gome.events import Comparison, ScoreRequested, SubmissionRejected, SubmissionScored
from gome.kernel.plugin import Artifacts
from gome.plugins.scorer.metrics.bootstrap import resampled, resamples_for, standard_error
from gome.plugins.scorer.metrics.check import out_of_fold, submission
from gome.plugins.scorer.metrics.formulas import constant, value
from gome.plugins.scorer.metrics.score import rejected
from gome.plugins.scorer.metrics.tables import (
    RowIds,
    TableError,
    fold_numbers,
    remembered,
    row_ids,
    training_target,
)

DATA_SHARE, LOG_LOSS_SHARE = 0.02, 0.03
"""Allowed for a fifth less training data, as a share of the claim's improvement over a constant prediction. Log loss is
the hungriest: probabilities stay timid while rows are few."""
ERRORS = 2.0
"""Paired standard errors allowed."""


def audit(store: Artifacts, asked: ScoreRequested, seed: int) -> SubmissionScored | SubmissionRejected:
    """Score the masked fold from the audit's submission and compare it with the claim (if there is one)."""
    task = asked.task
    if "submission.csv" not in asked.outputs:
        return rejected(asked, "the program wrote no submission.csv in the audit", layer=2)
    folds = fold_numbers(store, task, asked.folds, asked.partition)
    hidden = folds == asked.masked_fold
    trained, tested = row_ids(store, task.train, task.id), row_ids(store, task.test, task.id)
    ids = remembered(
        ("masked ids", trained.key, tested.key, asked.folds.digest, asked.partition, asked.masked_fold),
        lambda: RowIds(np.concatenate([tested.texts, trained.texts[hidden]])),
    )
    try:
        predicted = submission(store, task, asked.outputs["submission.csv"], ids)[len(tested) :]
    except TableError as error:
        return rejected(asked, f"in the audit, {error}", layer=2)
    truth = training_target(store, task)[hidden]
    count = resamples_for(len(truth))
    found = value(task, truth, predicted)
    if not np.isfinite(found):
        return rejected(asked, f"{task.metric.name} is undefined on the masked fold", layer=2)
    everyone = [predicted]
    if asked.claim is not None:
        try:
            everyone.append(out_of_fold(store, task, asked.claim, trained, folds).predicted[hidden])
        except TableError as error:
            return rejected(asked, f"the audited predictions cannot be read: {error}", layer=2)
    draws = resampled(task, truth, everyone, count, seed)
    comparisons: tuple[Comparison, ...] = ()
    allowed = 0.0
    if asked.claim is not None:
        sign = 1.0 if task.metric.greater_is_better else -1.0
        claimed = value(task, truth, everyone[1])
        noise = standard_error(draws[0] - draws[1])
        plain = value(task, truth, constant(task, training_target(store, task)[~hidden], len(truth)))
        skill = max(0.0, sign * (claimed - plain)) if np.isfinite(plain) else abs(claimed)
        share = LOG_LOSS_SHARE if task.metric.name == "log_loss" else DATA_SHARE
        allowed = ERRORS * noise + share * skill
        gap = sign * (found - claimed)
        if gap < -allowed:
            return rejected(
                asked,
                f"fold {asked.masked_fold} scores {claimed:.6g} out of fold but {found:.6g} when its labels are really "
                f"hidden, {-gap:.4g} worse; {allowed:.4g} would be noise. The program sees labels of rows it scores: "
                "fit encodings, selection and scaling inside the training folds only",
                layer=2,
            )
        comparisons = (Comparison(attempt=asked.attempt, difference=gap, row_se=noise),)
    return SubmissionScored(
        attempt=asked.attempt,
        purpose=asked.purpose,
        score=found,
        fold_scores=(found,),
        se=standard_error(draws[0]),
        seed=asked.seed,
        partition=asked.partition,
        masked_fold=asked.masked_fold,
        comparisons=comparisons,
        diagnostics={"allowed": allowed},
        outputs=asked.outputs,
    )

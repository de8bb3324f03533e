"""Graders of predictions in columns: areas, losses, errors, agreements. Each function returns a grader for its columns.

Named after what they compute; which competition takes which is said in `__init__.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    f1_score,
    log_loss,
    matthews_corrcoef,
    mean_absolute_error,
    roc_auc_score,
    root_mean_squared_error,
    root_mean_squared_log_error,
)

from gome.plugins.tasks.mlebench.graders.checking import (
    Grade,
    InvalidSubmission,
    aligned,
    need,
    probabilities,
    same_length,
    texts,
)


def auc(key: str, *targets: str) -> Grade:
    """Mean over the targets of the area under the ROC curve of probabilities."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        mine, theirs = aligned(submission, answers, key, targets)
        for name in targets:
            low, high = pd.to_numeric(mine[name]).min(), pd.to_numeric(mine[name]).max()
            if low < 0 or high > 1:
                raise InvalidSubmission(f"{name!r} holds probabilities, between 0 and 1")
        return float(np.mean([roc_auc_score(theirs[name], mine[name]) for name in targets]))

    return grade


def auc_of_scores(key: str, targets: Sequence[str], *, exactly: bool = False) -> Grade:
    """Mean over the targets of the area under the ROC curve of any scores."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        need(submission, (key, *targets), exactly=exactly)
        mine, theirs = aligned(submission, answers, key)
        return float(np.mean([roc_auc_score(theirs[name], mine[name]) for name in targets]))

    return grade


def toxic(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Mean column-wise area; rows whose labels are all -1 are left out. Columns count by place, not by name."""
    labels = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
    need(submission, ("id", *labels))
    same_length(submission, answers)
    mine, theirs = submission.set_index("id").sort_index(), answers.set_index("id").sort_index()
    kept = theirs[labels].sum(axis=1) >= 0
    return float(roc_auc_score(theirs[kept].to_numpy(), mine[kept].to_numpy(), average="macro"))


def accuracy(key: str, target: str) -> Grade:
    """Share of rows whose value is the right one."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        mine, theirs = aligned(submission, answers, key, (target,))
        return float(accuracy_score(theirs[target].to_numpy(), mine[target].to_numpy()))

    return grade


def accuracy_of_texts(key: str, target: str) -> Grade:
    """Share of rows whose text is exactly the right one."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        mine, theirs = aligned(submission, answers, key, (target,))
        return float(np.mean([a == b for a, b in zip(texts(mine[target]), texts(theirs[target]), strict=True)]))

    return grade


def paddy(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Accuracy; a missing label is a wrong one."""
    mine, theirs = aligned(submission, answers, "image_id", ("label",))
    guessed = ["" if pd.isna(value) else value for value in mine["label"]]
    return float(accuracy_score(theirs["label"].tolist(), guessed))


def top1_error(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Share of rows whose first guess (of a list separated by spaces) is wrong."""
    mine, theirs = aligned(submission, answers, "id", ("predicted",))
    first = [int(value) if isinstance(value, int) else int(value.split()[0]) for value in mine["predicted"]]
    return 1.0 - float(accuracy_score([int(value) for value in theirs["predicted"]], first))


def macro_f1(key: str, target: str) -> Grade:
    """F1 of each class, then their mean; values are whole numbers."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        mine, theirs = aligned(submission, answers, key, (target,))
        truth, guessed = ([int(value) for value in table[target]] for table in (theirs, mine))
        return float(f1_score(truth, guessed, average="macro"))

    return grade


def micro_f1(key: str, target: str) -> Grade:
    """F1 over all rows and classes together."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        mine, theirs = aligned(submission, answers, key, (target,))
        return float(f1_score(theirs[target].tolist(), mine[target].tolist(), average="micro"))

    return grade


def kappa(key: str, target: str, *, as_sets: bool = False) -> Grade:
    """Agreement beyond chance with quadratic weights; values are whole numbers. `as_sets` compares ids as a set."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        need(submission, (key, target))
        if as_sets and set(submission[key]) != set(answers[key]):
            raise InvalidSubmission(f"the values of {key!r} are not those that are to be predicted")
        mine, theirs = submission.sort_values(key), answers.sort_values(key)
        if not as_sets:
            mine, theirs = aligned(submission, answers, key, length=False)
        return float(cohen_kappa_score(mine[target].to_numpy(), theirs[target].to_numpy(), weights="quadratic"))

    return grade


def matthews(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Correlation of two binary columns."""
    mine, theirs = aligned(submission, answers, "contact_id", ("contact",))
    return float(matthews_corrcoef(theirs["contact"], mine["contact"]))


def binary_log_loss(key: str, target: str, *, length: bool = True) -> Grade:
    """Log loss of the probability of the one class."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        need(submission, (key, target))
        if set(submission[key]) != set(answers[key]):
            raise InvalidSubmission(f"the values of {key!r} are not those that are to be predicted")
        if length:
            same_length(submission, answers)
        probabilities(submission[target])
        mine, theirs = submission.sort_values(key), answers.sort_values(key)
        return float(log_loss(theirs[target].to_numpy(), mine[target].to_numpy()))

    return grade


def class_log_loss(
    key: str, classes: Sequence[str] = (), *, exactly: bool = False, shape: bool = False, decimals: int | None = None
) -> Grade:
    """Log loss of probabilities of classes, one column each (all of the answers' where no `classes` are named).

    Rows sum to 1 as `numpy.isclose(…, atol=1e-6)` understands it (up to 1.1e-5 off), or when rounded to `decimals`.
    `exactly` refuses other columns, `shape` another number of them.
    """

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        labels = list(classes) or [str(name) for name in answers.columns if name != key]
        need(submission, (key, *labels), exactly=exactly)
        same_length(submission, answers)
        if shape and submission.shape[1] != len(labels) + 1:
            raise InvalidSubmission(f"the submission has {submission.shape[1]} columns, not {len(labels) + 1}")
        sums = submission[labels].sum(axis=1)
        ones = np.isclose(sums, 1, atol=1e-6) if decimals is None else sums.round(decimals).eq(1).to_numpy()
        if not bool(ones.all()):
            raise InvalidSubmission("the probabilities of each row sum to 1")
        probabilities(submission[labels])
        mine, theirs = aligned(submission, answers, key)
        return float(log_loss(theirs[labels].to_numpy(), mine[labels].to_numpy()))

    return grade


def rmse(
    key: str, target: str, *, length: bool = True, ids: bool = True, within: tuple[int, int] | None = None
) -> Grade:
    """Root of the mean squared error. Without `ids` rows are sorted and compared, whatever their keys."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        need(submission, (key, target))
        if within is not None and not submission[target].between(*within).all():
            raise InvalidSubmission(f"{target!r} lies between {within[0]} and {within[1]}")
        mine, theirs = submission.sort_values(key), answers.sort_values(key)
        if ids:
            mine, theirs = aligned(submission, answers, key, length=length)
        return float(root_mean_squared_error(theirs[target].to_numpy(), mine[target].to_numpy(dtype=float)))

    return grade


def mean_rmsle(*targets: str) -> Grade:
    """Mean over the targets of the root mean squared logarithmic error. Rows are compared by position."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        need(submission, targets)
        same_length(submission, answers)
        return float(np.mean([root_mean_squared_log_error(answers[t], submission[t]) for t in targets]))

    return grade


def breathing_mae(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Mean absolute error of the pressure where the valve lets air in (`u_out` is 0)."""
    mine, theirs = aligned(submission, answers, "id", ("pressure",))
    scored = (theirs["u_out"] == 0).to_numpy()
    return float(mean_absolute_error(theirs["pressure"][scored], mine["pressure"][scored]))


def merged_mae(key: str, target: str) -> Grade:
    """Mean absolute error after joining by key, as a whole number."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        joined = _joined(submission, answers, key, target)
        return round(float(mean_absolute_error(joined[f"{target}_true"], joined[f"{target}_pred"])))

    return grade


def mean_log_mae(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Logarithm of the mean absolute error of each type of coupling, then their mean."""
    target = "scalar_coupling_constant"
    joined = _joined(submission, answers, "id", target)
    off = (joined[f"{target}_true"] - joined[f"{target}_pred"]).abs()
    if off.isna().any():
        raise InvalidSubmission(f"{target!r} is missing in some rows")
    return float(np.log(off.groupby(joined["type"]).mean()).mean())


def _joined(submission: pd.DataFrame, answers: pd.DataFrame, key: str, target: str) -> pd.DataFrame:
    need(submission, (target, key))
    if set(submission[key]) != set(answers[key]):
        raise InvalidSubmission(f"the values of {key!r} are not those that are to be predicted")
    return answers.merge(submission[[key, target]], on=key, suffixes=("_true", "_pred"))


def mean_rmse_of_kept(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Mean over three columns of the root mean squared error on the rows that the answers keep.

    The rows kept are picked by their place in the two files, so both must stand in the same order.
    """
    scored = ["reactivity", "deg_Mg_pH10", "deg_Mg_50C"]
    same_length(submission, answers)
    need(submission, ("id_seqpos", *scored, "deg_pH10", "deg_50C"))
    mine, theirs = submission.sort_values("id_seqpos"), answers.sort_values("id_seqpos")
    if mine["id_seqpos"].tolist() != theirs["id_seqpos"].tolist():
        raise InvalidSubmission("the values of 'id_seqpos' are not those that are to be predicted, each once")
    kept: Any = theirs["keep"].astype(bool)
    mine, theirs = mine[kept.reindex(mine.index)], theirs[kept]
    return float(np.mean([root_mean_squared_error(theirs[name], mine[name]) for name in scored]))

"""Every metric as arithmetic: its value on some rows, and the same value for many row weightings at once.

Predictions are float64: shape (n,) for regression and binary tasks (probability of the positive class), (n, classes)
for multiclass ones; targets are numbers or class positions. Metrics that are functions of means over rows say so by
`moments` (per-row columns) and `combine` (means of the columns -> value); the two that rank have their own weighted
forms. That is what makes two hundred bootstrap resamples cheap (`bootstrap.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gome.events import Task
from gome.plugins.scorer.metrics.tables import Floats

EPSILON = 1e-15
"""Probabilities are kept this far from 0 and 1 in the log loss."""

Value = Callable[[Floats], Floats]


class Moments(NamedTuple):
    """`columns` has shape (rows, m); `combine` maps weighted means of shape (…, m) to values of shape (…)."""

    columns: Floats
    combine: Value


def _squared_root(means: Floats) -> Floats:
    out: Floats = np.sqrt(means[..., 0])
    return out


def _mean(means: Floats) -> Floats:
    return means[..., 0]


def _r2(means: Floats) -> Floats:
    error, first, second = means[..., 0], means[..., 1], means[..., 2]
    spread = second - first**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 1e-300, 1.0 - error / spread, np.nan)


def _kappa(means: Floats) -> Floats:
    distance, a, aa, b, bb = (means[..., i] for i in range(5))
    expected = aa + bb - 2.0 * a * b
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 1e-300, 1.0 - distance / expected, np.nan)


def _over_classes(values: Floats, occurs: np.ndarray[Any, Any]) -> Floats:
    """Mean over the classes that occur; NaN where none does. Called where division is allowed to fail."""
    return np.asarray(np.where(occurs, values, 0.0).sum(axis=-1) / occurs.sum(axis=-1))


def _f1(means: Floats) -> Floats:
    """Columns: hits, predicted, actual of each class. A class that occurs on neither side does not count."""
    hits, predicted, actual = np.split(means, 3, axis=-1)
    total = predicted + actual
    with np.errstate(divide="ignore", invalid="ignore"):
        return _over_classes(2.0 * hits / total, total > 0)


def _balanced(means: Floats) -> Floats:
    hits, actual = np.split(means, 2, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _over_classes(hits / actual, actual > 0)


def grades(task: Task) -> Floats:
    """The number behind each class for the quadratic kappa: the class itself where all are numbers, else its rank."""
    try:
        return np.array([float(name) for name in task.classes])
    except ValueError:
        return np.asarray(range(len(task.classes)), dtype=np.float64)


def chosen(task: Task, predicted: Floats) -> Floats:
    """The class position that predictions point to."""
    if task.kind == "multiclass":
        return np.asarray(np.argmax(predicted, axis=1), dtype=np.float64)
    return np.asarray(predicted >= 0.5, dtype=np.float64)


def row_loss(task: Task, truth: Floats, predicted: Floats) -> Floats:
    """A loss per row that explains where the metric is lost (log loss stands in for the ranking metrics)."""
    name = task.metric.name
    if task.kind == "regression":
        if name == "rmsle":
            return np.asarray((np.log1p(predicted) - np.log1p(truth)) ** 2, dtype=np.float64)
        if name == "mae":
            return np.asarray(np.abs(predicted - truth))
        if name == "mape":
            return np.asarray(np.abs(predicted - truth) / np.maximum(np.abs(truth), 1e-12))
        return np.asarray((predicted - truth) ** 2)
    if name in ("accuracy", "balanced_accuracy", "f1", "f1_macro", "quadratic_kappa"):
        return np.asarray(chosen(task, predicted) != truth, dtype=np.float64)
    if task.kind == "multiclass":
        picked = predicted[np.arange(len(truth)), truth.astype(np.int64)]
    else:
        picked = np.where(truth == 1, predicted, 1.0 - predicted)
    return -np.log(np.clip(picked, EPSILON, 1.0))


def moments(task: Task, truth: Floats, predicted: Floats) -> Moments:
    """The row columns of a metric that decomposes, with the function of their means."""
    name = task.metric.name
    if name in ("rmse", "rmsle"):
        return Moments(row_loss(task, truth, predicted)[:, None], _squared_root)
    if name in ("mae", "mape", "log_loss"):
        return Moments(row_loss(task, truth, predicted)[:, None], _mean)
    if name == "accuracy":
        return Moments(1.0 - row_loss(task, truth, predicted)[:, None], _mean)
    if name == "r2":
        centred = truth - truth.mean()  # the same value with smaller rounding errors
        return Moments(np.stack([(predicted - truth) ** 2, centred, centred**2], axis=1), _r2)
    if name == "quadratic_kappa":
        if task.kind == "regression":
            a, b = truth, np.clip(np.round(predicted), truth.min(), truth.max())
        else:
            scale = grades(task)
            a, b = scale[truth.astype(np.int64)], scale[chosen(task, predicted).astype(np.int64)]
        shift = a.mean()
        a, b = a - shift, b - shift
        return Moments(np.stack([(a - b) ** 2, a, a**2, b, b**2], axis=1), _kappa)
    pick = chosen(task, predicted)
    positions = np.array([1.0]) if name == "f1" else np.arange(len(task.classes), dtype=np.float64)
    actual = truth[:, None] == positions
    guessed = pick[:, None] == positions
    if name == "balanced_accuracy":
        return Moments(np.concatenate([actual & guessed, actual], axis=1).astype(np.float64), _balanced)
    if name in ("f1", "f1_macro"):
        return Moments(np.concatenate([actual & guessed, guessed, actual], axis=1).astype(np.float64), _f1)
    raise ValueError(f"metric {name!r} has no row moments")


Places = np.ndarray[Any, np.dtype[np.intp]]


class Ranking(NamedTuple):
    """Where rows stand when sorted by falling prediction; what the ranking metrics need of it, per positive row.

    `positives` and `negatives` are row positions in that order. For each positive: `above` and `beside` count the
    negatives ranked higher, and higher or equal; `level` is the last positive of its group of ties, `reached` the last
    row of that group in the order of all rows (`order`).
    """

    order: Places
    positives: Places
    negatives: Places
    above: Places
    beside: Places
    level: Places
    reached: Places


def ranking(truth: Floats, predicted: Floats) -> Ranking:
    """Sort once; every resample reuses it."""
    order = np.argsort(-predicted, kind="stable")
    hit = truth[order] == 1
    positives, negatives = order[hit], order[~hit]
    theirs, ours, everyone = -predicted[negatives], -predicted[positives], -predicted[order]
    return Ranking(
        order,
        positives,
        negatives,
        np.searchsorted(theirs, ours, side="left"),
        np.searchsorted(theirs, ours, side="right"),
        np.searchsorted(ours, ours, side="right") - 1,
        np.searchsorted(everyone, ours, side="right") - 1,
    )


def ranked_value(name: str, rank: Ranking, weights: np.ndarray[Any, Any]) -> Floats:
    """Area under the ROC curve or average precision for each row weighting; `weights` has shape (rows, resamples).

    Ties count half in the area and are one threshold in the precision, as in scikit-learn. NaN where a class has no
    weight. Weights are small whole numbers, so sums in float32 are exact up to 16 million.
    """
    ours = weights[rank.positives]
    total = ours.sum(axis=0, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        if name == "average_precision":
            hits = np.cumsum(ours, axis=0)[rank.level]
            everything = np.cumsum(weights[rank.order], axis=0)[rank.reached]
            precision = np.where(everything > 0, hits / everything, 0.0)
            return np.asarray(np.einsum("ij,ij->j", ours, precision, dtype=np.float64) / total)
        counted = np.zeros((len(rank.negatives) + 1, weights.shape[1]), dtype=weights.dtype)
        np.cumsum(weights[rank.negatives], axis=0, out=counted[1:])
        higher = counted[rank.above]
        if (rank.above != rank.beside).any():
            higher = 0.5 * (higher + counted[rank.beside])
        against = counted[-1].astype(np.float64)
        lost = np.einsum("ij,ij->j", ours, higher, dtype=np.float64)
        return np.asarray(np.where((total > 0) & (against > 0), 1.0 - lost / (total * against), np.nan))


RANKED = ("roc_auc", "average_precision")


def value(task: Task, truth: Floats, predicted: Floats) -> float:
    """The metric on these rows; NaN where it is undefined (one class only, no spread)."""
    if len(truth) == 0:
        return float("nan")
    if task.metric.name in RANKED:
        return float(ranked_value(task.metric.name, ranking(truth, predicted), np.ones((len(truth), 1)))[0])
    columns, combine = moments(task, truth, predicted)
    with np.errstate(all="ignore"):
        return float(combine(columns.mean(axis=0)))


def constant(task: Task, known: Floats, rows: int) -> Floats:
    """The prediction of somebody who has only seen the other folds' targets."""
    if task.kind == "multiclass":
        shares = np.bincount(known.astype(np.int64), minlength=len(task.classes)) / len(known)
        return np.tile(shares, (rows, 1))
    if task.metric.name == "rmsle":
        return np.full(rows, np.expm1(np.log1p(known).mean()))
    if task.metric.name in ("mae", "mape"):
        return np.full(rows, float(np.median(known)))
    return np.full(rows, float(known.mean()))

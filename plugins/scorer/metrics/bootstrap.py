"""How sure a score or a difference is: rows resampled with replacement within each fold, all rivals on the same draws.

`fold_values` gives the metric of several predictions per fold, once as it is and once per resample; means, differences
and standard errors follow by plain numpy. Pairing is what makes small differences visible: rows that are hard are hard
for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gome.events import Task
from gome.plugins.scorer.metrics.formulas import RANKED, moments, ranked_value, ranking, value
from gome.plugins.scorer.metrics.tables import Floats, Ints

RESAMPLES = 200
"""Resamples of a table; fewer above `LARGE` rows, where the standard error is small and every resample dear."""
LARGE = 20_000
CHUNK = 1_000_000
"""Row weights held at once (a bound on memory)."""


def resamples_for(rows: int) -> int:
    """How many resamples a table of this size gets: a standard error with about 5 (7) % error of its own."""
    return RESAMPLES if rows <= LARGE else RESAMPLES // 2


def _weights(generator: np.random.RandomState, resamples: int, rows: int) -> np.ndarray[Any, Any]:
    """How often each row is drawn in each resample, shape (rows, resamples)."""
    drawn = generator.randint(0, rows, size=(resamples, rows), dtype=np.int32)
    drawn += (np.arange(resamples, dtype=np.int32) * np.int32(rows))[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * rows)
    return np.ascontiguousarray(counts.reshape(resamples, rows).astype(np.float32).T)


def resampled(task: Task, truth: Floats, predictions: Sequence[Floats], resamples: int, seed: int) -> Floats:
    """The metric of each prediction on resampled rows, shape (predictions, resamples); NaN where undefined."""
    rows = len(truth)
    generator = np.random.RandomState(seed % 2**32)
    out = np.empty((len(predictions), resamples))
    ranked = task.metric.name in RANKED
    sorted_rows = [ranking(truth, p) for p in predictions] if ranked else []
    columns = [] if ranked else [moments(task, truth, p) for p in predictions]
    at_once = max(1, CHUNK // max(rows, 1))
    for start in range(0, resamples, at_once):
        stop = min(start + at_once, resamples)
        weights = _weights(generator, stop - start, rows)
        for position in range(len(predictions)):
            if ranked:
                out[position, start:stop] = ranked_value(task.metric.name, sorted_rows[position], weights)
            else:
                part = columns[position]
                with np.errstate(all="ignore"):
                    out[position, start:stop] = part.combine(weights.T.astype(np.float64) @ part.columns / rows)
    return out


def fold_values(task: Task, truth: Floats, predictions: Sequence[Floats], folds: Ints) -> Floats:
    """The metric of each prediction in each fold, shape (predictions, folds present); NaN where undefined."""
    present = np.unique(folds)
    out = np.empty((len(predictions), len(present)))
    for column, fold in enumerate(present):
        here = folds == fold
        for row, predicted in enumerate(predictions):
            out[row, column] = value(task, truth[here], predicted[here])
    return out


def fold_resamples(task: Task, truth: Floats, predictions: Sequence[Floats], folds: Ints, seed: int) -> Floats:
    """Mean over folds of the metric on rows resampled within their folds, shape (predictions, resamples)."""
    count = resamples_for(len(truth))
    total = []
    for fold in np.unique(folds):
        here = folds == fold
        total.append(resampled(task, truth[here], [p[here] for p in predictions], count, seed + int(fold) * 7919))
    stacked = np.stack(total)
    defined = np.isfinite(stacked)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A resample without one class has no value in that fold; the other folds still speak.
        means: Floats = np.where(defined, stacked, 0.0).sum(axis=0) / defined.sum(axis=0)
    return means


def standard_error(values: Floats) -> float:
    """Standard deviation of resampled values; 0 where there is nothing to resample."""
    defined = values[np.isfinite(values)]
    return float(defined.std(ddof=1)) if len(defined) > 1 else 0.0


def interval(values: Floats) -> tuple[float, float]:
    """Bounds of the central 95 % of resampled values."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return (0.0, 0.0)
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)

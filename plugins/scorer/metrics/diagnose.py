"""The scorer's own diagnostics of a scored attempt: where the error sits and what shape it has. Small plain numbers.

Keys: `slices` [{"slice", "rows", "loss", "ratio"}] the worst levels and deciles (ratio: to the mean loss),
`residual_slope` (of residual on prediction; 0 is right, positive means predictions are too timid), `bias`, `outliers`
(share of rows beyond four robust standard deviations) with `outlier_loss` (their share of the loss), `calibration`
[[mean probability, observed share, rows]] with `calibration_error`, `confusion` (most frequent mistakes), `correlation`
{earlier attempt: correlation of residuals}. Called by `score.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gome.events import Task
from gome.plugins.scorer.metrics.formulas import chosen, row_loss
from gome.plugins.scorer.metrics.tables import Floats

SLICED_COLUMNS = 12
SMALLEST_SLICE = 20


def residuals(task: Task, truth: Floats, predicted: Floats) -> Floats:
    """What is left to explain, on the scale of the metric: shape (rows,), for several classes flattened."""
    if task.kind == "multiclass":
        actual = truth[:, None] == np.arange(predicted.shape[1])
        return np.asarray((actual - predicted).ravel())
    if task.metric.name == "rmsle":
        return np.asarray(np.log1p(truth) - np.log1p(predicted))
    return truth - predicted


def correlation(left: Floats, right: Floats) -> float:
    """Pearson correlation; 0 when one side does not vary."""
    a, b = left - left.mean(), right - right.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0


def _round(number: float) -> float | None:
    return float(f"{number:.5g}") if np.isfinite(number) else None


def diagnose(task: Task, truth: Floats, predicted: Floats, train: pd.DataFrame | None) -> dict[str, Any]:
    """Everything but the correlations. `train` gives the columns for slices (None: deciles only)."""
    loss = row_loss(task, truth, predicted)
    residual = residuals(task, truth, predicted)
    found: dict[str, Any] = {"slices": _slices(task, loss, predicted, train)}
    if task.kind == "regression":
        on_scale = np.log1p(predicted) if task.metric.name == "rmsle" else predicted
        centred = on_scale - on_scale.mean()
        spread = float(centred @ centred)
        middle = float(np.median(residual))
        robust = 1.4826 * float(np.median(np.abs(residual - middle)))
        outlying = np.abs(residual - middle) > 4 * robust if robust > 0 else np.zeros(len(residual), dtype=bool)
        total = float(loss.sum())
        found |= {
            "residual_slope": _round(float(centred @ residual) / spread if spread > 0 else 0.0),
            "bias": _round(float(residual.mean())),
            "residual_skew": _round(_skew(residual)),
            "outliers": _round(float(outlying.mean())),
            "outlier_loss": _round(float(loss[outlying].sum()) / total if total > 0 else 0.0),
        }
        return found
    probability = predicted if task.kind == "binary" else predicted.max(axis=1)
    hit = truth if task.kind == "binary" else (chosen(task, predicted) == truth).astype(np.float64)
    found |= _calibration(probability, hit)
    if task.kind == "multiclass":
        found["confusion"] = _confusion(task, truth, chosen(task, predicted))
    else:
        centred = predicted - predicted.mean()
        spread = float(centred @ centred)
        found["residual_slope"] = _round(float(centred @ residual) / spread if spread > 0 else 0.0)
    return found


def _skew(values: Floats) -> float:
    centred = values - values.mean()
    spread = float(np.sqrt((centred**2).mean()))
    return float((centred**3).mean() / spread**3) if spread > 0 else 0.0


def _calibration(probability: Floats, hit: Floats) -> dict[str, Any]:
    """Ten bins of equal size, and the mean absolute gap between what was said and what happened."""
    parts = np.array_split(np.argsort(probability, kind="stable"), 10)
    bins = [[_round(float(probability[p].mean())), _round(float(hit[p].mean())), len(p)] for p in parts if len(p)]
    gaps = [abs(float(probability[p].mean() - hit[p].mean())) * len(p) for p in parts if len(p)]
    return {"calibration": bins, "calibration_error": _round(sum(gaps) / max(len(hit), 1))}


def _confusion(task: Task, truth: Floats, guessed: Floats) -> list[list[Any]]:
    wrong = truth != guessed
    size = len(task.classes)
    codes = np.bincount((truth[wrong] * size + guessed[wrong]).astype(np.int64), minlength=size * size)
    top = np.argsort(-codes, kind="stable")[:8]
    return [[task.classes[c // size], task.classes[c % size], int(codes[c])] for c in top if codes[c]]


def _slices(task: Task, loss: Floats, predicted: Floats, train: pd.DataFrame | None) -> list[dict[str, Any]]:
    """The slices with the largest excess loss, at most eight: deciles of prediction and levels of category columns."""
    overall = float(loss.mean())
    if overall <= 0:
        return []
    found: list[tuple[float, str, int, float]] = []

    def add(name: str, rows: int, total: float) -> None:
        mean = total / rows
        # Ranked by how much of the whole loss would go away if the slice were as good as the rest.
        found.append(((mean - overall) * rows, name, rows, mean))

    by = predicted if task.kind != "multiclass" else predicted.max(axis=1)
    for number, part in enumerate(np.array_split(np.argsort(by, kind="stable"), 10)):
        if len(part) >= SMALLEST_SLICE:
            add(f"prediction decile {number + 1}", len(part), float(loss[part].sum()))
    names = [c.name for c in task.columns if c.kind == "category"]
    if train is not None:
        for name in [n for n in names if n in train.columns][:SLICED_COLUMNS]:
            codes, levels = pd.factorize(train[name])
            if not 2 <= len(levels) <= 200:
                continue
            counts = np.bincount(codes + 1, minlength=len(levels) + 1)
            totals = np.bincount(codes + 1, weights=loss, minlength=len(levels) + 1)
            for position in np.flatnonzero(counts >= SMALLEST_SLICE):
                level = "(missing)" if position == 0 else str(levels[int(position) - 1])
                add(f"{name} = {level[:40]}", int(counts[position]), float(totals[position]))
    return _named(found, overall)


def _named(found: list[tuple[float, str, int, float]], overall: float) -> list[dict[str, Any]]:
    worst = sorted((f for f in found if f[0] > 0), key=lambda f: (-f[0], f[1]))[:8]
    return [{"slice": n, "rows": r, "loss": _round(m), "ratio": _round(m / overall)} for _, n, r, m in worst]

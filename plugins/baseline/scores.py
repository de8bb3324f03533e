"""Metric functions for the baseline's program; `decide.py` copies the one that the task names.

`y` are target values or class numbers, `p` predictions in the columns of a submission.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import metrics


def rmsle(y: Any, p: Any) -> float:
    """Root mean squared error of log(1 + value)."""
    return float(np.sqrt(np.mean((np.log1p(p[:, 0]) - np.log1p(y)) ** 2)))


def rmse(y: Any, p: Any) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean((p[:, 0] - y) ** 2)))


def mae(y: Any, p: Any) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(p[:, 0] - y)))


def r2(y: Any, p: Any) -> float:
    """Share of variance explained."""
    return float(metrics.r2_score(y, p[:, 0]))


def roc_auc(y: Any, p: Any) -> float:
    """Area under the ROC curve; for several classes the mean over one-against-rest."""
    columns = range(p.shape[1]) if p.shape[1] > 1 else [0]
    first = 0 if p.shape[1] > 1 else 1
    found = [metrics.roc_auc_score(y == c + first, p[:, c]) for c in columns if 0 < (y == c + first).sum() < len(y)]
    return float(np.mean(found))


def log_loss(y: Any, p: Any) -> float:
    """Mean negative log probability of the true class."""
    full = np.clip(p if p.shape[1] > 1 else np.column_stack([1 - p, p]), 1e-15, 1)
    return float(metrics.log_loss(y, full / full.sum(axis=1, keepdims=True), labels=list(range(full.shape[1]))))


def accuracy(y: Any, p: Any) -> float:
    """Share of rows whose likeliest class is the true one."""
    return float(np.mean((p.argmax(axis=1) if p.shape[1] > 1 else p[:, 0] > 0.5) == y))


def f1_macro(y: Any, p: Any) -> float:
    """Mean over classes of the harmonic mean of precision and recall."""
    return float(metrics.f1_score(y, p.argmax(axis=1) if p.shape[1] > 1 else p[:, 0] > 0.5, average="macro"))

"""The metric, on predictions in the columns of a submission."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, log_loss, r2_score, roc_auc_score

from gome.plugins.mutator.pipeline.fragments.constants import CLASSES, KIND


def both_columns(p: np.ndarray) -> np.ndarray:
    """Probabilities of all classes, adding up to one."""
    full = np.column_stack([1 - p[:, 0], p[:, 0]]) if KIND == "binary" else p
    full = np.clip(full, 1e-15, 1.0)
    return full / full.sum(axis=1, keepdims=True)


def score_rmsle(y: np.ndarray, p: np.ndarray) -> float:
    """Root mean squared error of log(1 + value)."""
    return float(np.sqrt(np.mean((np.log1p(np.maximum(p[:, 0], 0.0)) - np.log1p(y)) ** 2)))


def score_rmse(y: np.ndarray, p: np.ndarray) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean((p[:, 0] - y) ** 2)))


def score_mae(y: np.ndarray, p: np.ndarray) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(p[:, 0] - y)))


def score_r2(y: np.ndarray, p: np.ndarray) -> float:
    """Share of variance explained."""
    return float(r2_score(y, p[:, 0]))


def score_roc_auc(y: np.ndarray, p: np.ndarray) -> float:
    """Area under the ROC curve; for several classes the mean over one-against-rest."""
    if KIND == "binary":
        return float(roc_auc_score(y, p[:, 0]))
    there = [c for c in range(len(CLASSES)) if 0 < (y == c).sum() < len(y)]
    return float(np.mean([roc_auc_score(y == c, p[:, c]) for c in there]))


def score_log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean negative log probability of the true class."""
    return float(log_loss(y, both_columns(p), labels=list(range(len(CLASSES)))))


def score_accuracy(y: np.ndarray, p: np.ndarray) -> float:
    """Share of rows whose likeliest class is the true one."""
    return float(accuracy_score(y, both_columns(p).argmax(axis=1)))


def score_f1_macro(y: np.ndarray, p: np.ndarray) -> float:
    """Mean over classes of the harmonic mean of precision and recall."""
    return float(f1_score(y, both_columns(p).argmax(axis=1), average="macro"))

"""Blending: members become one prediction; every fitted weight is cross-fitted over the folds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize, nnls
from sklearn.linear_model import LogisticRegression, RidgeCV

from gome.plugins.mutator.pipeline.fragments.constants import CLASSES, GREATER, KIND
from gome.plugins.mutator.pipeline.fragments.matrices import Parts
from gome.plugins.mutator.pipeline.fragments.metrics import both_columns, score_rmse

SCORE = score_rmse
Combine = Callable[[Parts], np.ndarray]
Blend = Callable[..., tuple[Combine, list[float]]]


def to_plain(p: np.ndarray) -> np.ndarray:
    """Predictions as they are."""
    return p


from_plain = to_plain


def to_log1p(p: np.ndarray) -> np.ndarray:
    """log(1 + prediction), the scale on which this metric measures."""
    return np.log1p(np.maximum(p, 0.0))


def from_log1p(z: np.ndarray) -> np.ndarray:
    """Back from log(1 + prediction)."""
    return np.expm1(z)


def to_logit(p: np.ndarray) -> np.ndarray:
    """Log probabilities of all classes."""
    return np.log(np.clip(both_columns(p), 1e-9, 1.0))


def from_logit(z: np.ndarray) -> np.ndarray:
    """Probabilities from log probabilities."""
    found = np.exp(z - z.max(axis=1, keepdims=True))
    found /= found.sum(axis=1, keepdims=True)
    return found[:, 1:2] if KIND == "binary" else found


def weighted(weights: np.ndarray, back: Callable[[np.ndarray], np.ndarray]) -> tuple[Combine, list[float]]:
    """The weighted mean on the blend's scale."""
    pairs = [float(w) for w in weights]

    def combine(parts: Parts) -> np.ndarray:
        mixed = pairs[0] * parts[0]
        for w, part in zip(pairs[1:], parts[1:], strict=True):
            mixed = mixed + w * part
        return back(mixed)

    return combine, pairs


def drawn_in(weights: np.ndarray, shrink: float) -> np.ndarray:
    """Weights that add up to one, drawn towards equal ones."""
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights))
    return (1 - shrink) * weights + shrink / len(weights)


def blend_single(parts: Parts, y: np.ndarray, to: Any, back: Any, **p: Any) -> tuple[Combine, list[float]]:
    """The only member."""
    return lambda rows: back(rows[0]), [1.0]


def blend_mean(parts: Parts, y: np.ndarray, to: Any, back: Any, **p: Any) -> tuple[Combine, list[float]]:
    """Equal weights."""
    return weighted(np.full(len(parts), 1 / len(parts)), back)


def blend_squares(parts: Parts, y: np.ndarray, to: Any, back: Any, **p: Any) -> tuple[Combine, list[float]]:
    """Non-negative weights that add up to one, with the least squared error on the blend's scale."""
    goal = to(y[:, None])[:, 0]
    heavy = 1e3 * np.sqrt(len(goal)) * max(float(goal.std()), 1e-12)
    columns = np.vstack([np.column_stack([part[:, 0] for part in parts]), np.full(len(parts), heavy)])
    middle = goal.mean()
    columns[:-1] -= middle
    weights, _ = nnls(columns, np.append(goal - middle, heavy))
    return weighted(drawn_in(weights, p["shrink"]), back)


def blend_likelihood(parts: Parts, y: np.ndarray, to: Any, back: Any, **p: Any) -> tuple[Combine, list[float]]:
    """Non-negative weights that add up to one, with the least log loss (mixture weights by expectation)."""
    row = np.arange(len(y))
    chance = np.column_stack([both_columns(part)[row, y] for part in parts])
    weights = np.full(len(parts), 1 / len(parts))
    for _ in range(300):
        share = weights * chance
        weights = (share / share.sum(axis=1, keepdims=True)).mean(axis=0)
    return weighted(drawn_in(weights, p["shrink"]), back)


def blend_logits(parts: Parts, y: np.ndarray, to: Any, back: Any, **p: Any) -> tuple[Combine, list[float]]:
    """Non-negative weights of log probabilities with the least log loss; their sum is free."""
    row = np.arange(len(y))
    stacked = np.stack(parts)

    def loss(weights: np.ndarray) -> float:
        mixed = np.tensordot(weights, stacked, 1)
        top = mixed.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(mixed - top).sum(axis=1)) + top[:, 0] - mixed[row, y]))

    start = np.full(len(parts), 1 / len(parts))
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(0.0, 3.0)] * len(parts)).x
    return weighted((1 - p["shrink"]) * found + p["shrink"] * start, back)


def blend_greedy(parts: Parts, y: np.ndarray, to: Any, back: Any, **p: Any) -> tuple[Combine, list[float]]:
    """Forward selection with replacement: each turn takes the member that helps the metric most."""
    sign, turns = (-1 if GREATER else 1), 30
    counts = np.zeros(len(parts))
    total = np.zeros_like(parts[0])
    history: list[tuple[float, np.ndarray]] = []
    for turn in range(turns):
        scores = [sign * SCORE(y, back((total + part) / (turn + 1))) for part in parts]
        best = int(np.argmin(scores))
        counts[best] += 1
        total = total + parts[best]
        history.append((scores[best], counts.copy()))
    weights = min(history, key=lambda pair: pair[0])[1]
    return weighted(drawn_in(weights, p["shrink"]), back)


def blend_ranks(parts: Parts, y: np.ndarray, to: Any, back: Any, **p: Any) -> tuple[Combine, list[float]]:
    """Mean of ranks within the fitting rows, for metrics that look at the order only."""
    known = [[np.sort(part[:, c]) for c in range(part.shape[1])] for part in parts]

    def ranks(part: np.ndarray, order: list[np.ndarray]) -> np.ndarray:
        columns = []
        for c, values in enumerate(order):
            below = np.searchsorted(values, part[:, c], "left") + np.searchsorted(values, part[:, c], "right")
            columns.append(below / (2 * len(values)))
        return np.column_stack(columns)

    def combine(rows: Parts) -> np.ndarray:
        return np.mean([ranks(part, order) for part, order in zip(rows, known, strict=True)], axis=0)

    return combine, [1 / len(parts)] * len(parts)


def blend_stack(parts: Parts, y: np.ndarray, to: Any, back: Any, **p: Any) -> tuple[Combine, list[float]]:
    """A linear model of the members' predictions: ridge, or logistic regression on log probabilities."""
    if KIND == "regression":
        goal = to(y[:, None])[:, 0]
        columns = np.column_stack([part[:, 0] for part in parts])
        middle, spread = goal.mean(), max(float(goal.std()), 1e-12)
        model: Any = RidgeCV(alphas=np.logspace(-3, 3, 13)).fit((columns - middle) / spread, (goal - middle) / spread)

        def values(rows: Parts) -> np.ndarray:
            found = model.predict((np.column_stack([r[:, 0] for r in rows]) - middle) / spread) * spread + middle
            return back(np.clip(found, goal.min(), goal.max())[:, None])

        return values, [float(w) for w in model.coef_]

    def logits(rows: Parts) -> np.ndarray:
        return np.hstack([np.log(np.clip(both_columns(r), 1e-6, 1.0)) for r in rows])

    model = LogisticRegression(C=0.3, max_iter=1000).fit(logits(parts), y)
    width = len(CLASSES)
    size = np.abs(model.coef_).sum(axis=0).reshape(len(parts), width).sum(axis=1)

    def chances(rows: Parts) -> np.ndarray:
        found = np.full((len(rows[0]), width), 1e-9)
        found[:, model.classes_.astype(int)] = model.predict_proba(logits(rows))
        return found[:, 1:2] if KIND == "binary" else found

    return chances, [float(w) for w in size / size.sum()]


def blend_folds(
    blend: Blend, to: Any, back: Any, oof: Parts, test: Parts, y: np.ndarray, fold: np.ndarray, **p: Any
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Blend each fold with weights from the other folds, and the test rows with weights from all of them."""
    parts = [to(part) for part in oof]
    mixed = np.zeros_like(oof[0])
    for k in np.unique(fold):
        held = fold == k
        combine, _ = blend([part[~held] for part in parts], y[~held], to, back, **p)
        mixed[held] = combine([part[held] for part in parts])
    combine, weights = blend(parts, y, to, back, **p)
    return mixed, combine([to(part) for part in test]), weights

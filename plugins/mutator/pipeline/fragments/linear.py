"""Linear models on the scaled matrix; a strength of 0 is chosen on an inner split of the training folds."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
from scipy import sparse
from sklearn.linear_model import (
    ElasticNet,
    ElasticNetCV,
    HuberRegressor,
    LogisticRegression,
    Ridge,
    RidgeCV,
)
from sklearn.metrics import log_loss

from gome.plugins.mutator.pipeline.fragments.boosters import Fitted, inner_split, probabilities

STRENGTHS = [float(a) for a in np.logspace(-1, 4, 16)]


def coefficients(matrix: Any, coef: np.ndarray) -> dict[str, float]:
    """Share of each column in the sum of absolute coefficients."""
    size = np.abs(np.atleast_2d(coef)).sum(axis=0)
    return dict(zip(matrix.names, size / max(size.sum(), 1e-12), strict=True))


def fit_ridge(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """Ridge regression."""
    alpha = p["alpha"]
    if not alpha and sparse.issparse(x):
        inside, outside = inner_split(y, 0.2, seed)
        errors = []
        for a in STRENGTHS[::2]:
            model = Ridge(alpha=a, solver="sparse_cg").fit(x[inside], y[inside])
            errors.append((float(np.mean((model.predict(x[outside]) - y[outside]) ** 2)), a))
        alpha = min(errors)[1]
    elif not alpha:
        alpha = float(RidgeCV(alphas=STRENGTHS).fit(x, y).alpha_)
    model = Ridge(alpha=alpha).fit(x, y)
    info = {"alpha": alpha, "importance": coefficients(matrix, model.coef_), "reuse": {"alpha": alpha}}
    return lambda rows: model.predict(rows)[:, None], info


def fit_logistic(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """Logistic regression (multinomial for several classes) with an L2 penalty; strength 1 / alpha."""
    weight = None if p["class_weight"] == "none" else "balanced"

    def model_of(alpha: float, rows: Any, labels: np.ndarray, steps: int) -> Any:
        return LogisticRegression(C=1 / alpha, class_weight=weight, max_iter=steps, tol=1e-4).fit(rows, labels)

    alpha = p["alpha"]
    if not alpha:
        inside, outside = inner_split(y, 0.25, seed)
        losses = []
        for a in STRENGTHS[:14:2] if not sparse.issparse(x) else [0.01, 0.03, 0.1, 0.3, 1.0, 3.0]:
            model = model_of(a, x[inside], y[inside], 200)
            known = np.isin(y[outside], model.classes_)
            shown = model.predict_proba(x[outside][known])
            losses.append((log_loss(y[outside][known], shown, labels=model.classes_), a))
        alpha = min(losses)[1]
    model = model_of(alpha, x, y, 1000)
    info = {"alpha": alpha, "importance": coefficients(matrix, model.coef_), "reuse": {"alpha": alpha}}
    return lambda rows: probabilities(model, rows), info


def fit_elastic_net(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """Elastic net regression."""
    alpha = p["alpha"]
    if not alpha:
        search = ElasticNetCV(l1_ratio=max(p["l1_ratio"], 0.01), alphas=30, cv=4, eps=1e-4, max_iter=2000, tol=1e-3)
        alpha = float(search.fit(x, y).alpha_)
    model = ElasticNet(alpha=alpha, l1_ratio=p["l1_ratio"], max_iter=5000, tol=1e-3).fit(x, y)
    info = {"alpha": alpha, "importance": coefficients(matrix, model.coef_), "reuse": {"alpha": alpha}}
    return lambda rows: model.predict(rows)[:, None], info


def fit_elastic_classes(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """Logistic regression with both penalties; strength 1 / alpha."""
    weight = None if p["class_weight"] == "none" else "balanced"
    # scikit-learn before 1.8 has to be told the kind of penalty, later ones are to be told its mixture only.
    old = tuple(int(n) for n in sklearn.__version__.split(".")[:2]) < (1, 8)
    kind = {"penalty": "elasticnet"} if old else {}

    def model_of(alpha: float, rows: Any, labels: np.ndarray) -> Any:
        settings = {"solver": "saga", "l1_ratio": p["l1_ratio"], "class_weight": weight, "random_state": seed}
        return LogisticRegression(C=1 / alpha, max_iter=200, tol=1e-3, **settings, **kind).fit(rows, labels)

    alpha = p["alpha"]
    if not alpha:
        inside, outside = inner_split(y, 0.25, seed)
        losses = []
        for a in (0.3, 1.0, 3.0, 10.0, 30.0, 100.0):
            model = model_of(a, x[inside], y[inside])
            known = np.isin(y[outside], model.classes_)
            shown = model.predict_proba(x[outside][known])
            losses.append((log_loss(y[outside][known], shown, labels=model.classes_), a))
        alpha = min(losses)[1]
    model = model_of(alpha, x, y)
    info = {"alpha": alpha, "importance": coefficients(matrix, model.coef_), "reuse": {"alpha": alpha}}
    return lambda rows: probabilities(model, rows), info


def fit_huber(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """Linear regression that does not follow outliers."""
    middle, spread = float(y.mean()), max(float(y.std()), 1e-12)
    model = HuberRegressor(epsilon=p["epsilon"], alpha=p["alpha"], max_iter=500).fit(x, (y - middle) / spread)
    info = {"importance": coefficients(matrix, model.coef_)}
    return lambda rows: (model.predict(rows) * spread + middle)[:, None], info

"""Kernel methods on the scaled matrix."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.svm import SVC, SVR

from gome.plugins.mutator.pipeline.fragments.boosters import Fitted, probabilities
from gome.plugins.mutator.pipeline.fragments.constants import CLASSES, KIND
from gome.plugins.mutator.pipeline.fragments.matrices import dense

Decision = Callable[[Any], np.ndarray]


def kernel_width(x: Any, gamma: float, scale: float) -> float:
    """The given gamma, or `scale` / (columns × variance)."""
    if gamma:
        return gamma
    variance = float(x.multiply(x).mean() - x.mean() ** 2) if sparse.issparse(x) else float(x.var())
    return scale / (x.shape[1] * max(variance, 1e-12))


def standardised(fit: Callable[[Any, np.ndarray], Decision], x: Any, y: np.ndarray) -> Decision:
    """Fit a regression on the standardised target and return its predictions in the target's unit."""
    middle, spread = float(y.mean()), max(float(y.std()), 1e-12)
    decide = fit(x, (y - middle) / spread)
    return lambda rows: (decide(rows) * spread + middle)[:, None]


def calibrated(fit: Callable[[Any, np.ndarray], Decision], x: Any, y: np.ndarray, seed: int) -> Decision:
    """Turn decisions into probabilities by a logistic regression on decisions cross-fitted in the training rows."""
    few = np.unique(y, return_counts=True)[1].min() < 3
    maker: Any = KFold if few else StratifiedKFold
    whole = fit(x, y)
    crossed = np.zeros_like(whole(x))
    for inside, outside in maker(3, shuffle=True, random_state=seed).split(np.zeros(len(y)), y):
        crossed[outside] = fit(x[inside], y[inside])(x[outside])
    model = LogisticRegression(C=10.0, max_iter=500).fit(crossed, y)
    return lambda rows: probabilities(model, whole(rows))


def signs(y: np.ndarray) -> np.ndarray:
    """Membership of each class as -1 and 1."""
    return 2.0 * np.eye(len(CLASSES))[y] - 1.0


def kernel_rows(x: Any, width: float, kernel: str) -> tuple[Any, dict[str, Any], Decision]:
    """What a machine is fitted on, its kernel's settings, and what to hand to it for other rows.

    Up to 6,000 rows the kernel is computed at once, by matrix products: three times as fast as entry by entry.
    """
    if kernel == "rbf" and x.shape[0] <= 6000:
        return rbf_kernel(x, x, width), {"kernel": "precomputed"}, lambda rows: rbf_kernel(rows, x, width)
    return x, {"kernel": kernel, "gamma": width}, lambda rows: rows


def fit_svm(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """Support vector machine; for classes one against the rest, with calibrated decisions."""
    gamma = kernel_width(x, p["gamma"], p["gamma_scale"])
    if KIND == "regression":

        def fit(rows: Any, goal: np.ndarray) -> Decision:
            known, kind, shown = kernel_rows(rows, gamma, p["kernel"])
            model = SVR(C=p["c"], epsilon=p["epsilon"], cache_size=500, **kind).fit(known, goal)
            return lambda more: model.predict(shown(more))

        return standardised(fit, x, y), {"gamma": gamma}

    def fit_classes(rows: Any, labels: np.ndarray) -> Decision:
        known, kind, shown = kernel_rows(rows, gamma, p["kernel"])
        weight = None if p["class_weight"] == "none" else "balanced"
        make = partial(SVC, C=p["c"], cache_size=500, class_weight=weight, **kind)
        there = [c for c in ([1] if KIND == "binary" else range(len(CLASSES))) if (labels == c).any()]
        models = [make().fit(known, labels == c) for c in there]
        return lambda more: np.column_stack([model.decision_function(shown(more)) for model in models])

    return calibrated(fit_classes, x, y, seed), {"gamma": gamma}


def fit_kernel_ridge(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """Kernel ridge regression; for classes least squares on class membership with calibrated decisions."""
    x = dense(x)
    gamma = kernel_width(x, p["gamma"], p["gamma_scale"])
    if p["kernel"] == "laplacian" and not p["gamma"]:
        gamma = p["gamma_scale"] / x.shape[1]

    def fit(rows: Any, goal: np.ndarray) -> Decision:
        goal = goal if KIND == "regression" else signs(goal)
        model = KernelRidge(alpha=p["alpha"], kernel=p["kernel"], gamma=gamma).fit(rows, goal)
        return lambda more: model.predict(dense(more))

    predict = standardised(fit, x, y) if KIND == "regression" else calibrated(fit, x, y, seed)
    return predict, {"gamma": gamma}


def fit_gaussian_process(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """Gaussian process; its kernel is fitted on a subset of the rows, for classes least squares with calibration."""
    x = dense(x)
    width = float(np.sqrt(x.shape[1]) * max(x.std(), 1e-6))
    shape: Any = RBF(width, (width / 30, width * 30))
    if p["kernel"] == "matern":
        shape = Matern(width, (width / 30, width * 30), nu=1.5)
    start = ConstantKernel(1.0, (1e-2, 1e3)) * shape + WhiteKernel(0.1, (1e-4, 1e1))
    rng = np.random.default_rng(seed)

    def fit(rows: Any, goal: np.ndarray) -> Decision:
        goal = goal if KIND == "regression" else signs(goal)
        few = np.sort(rng.permutation(len(rows))[: p["subset"]])
        many = np.sort(rng.permutation(len(rows))[: p["rows"]])
        kernel = GaussianProcessRegressor(start, random_state=seed).fit(rows[few], goal[few]).kernel_
        model = GaussianProcessRegressor(kernel, optimizer=None).fit(rows[many], goal[many])
        return lambda more: model.predict(dense(more))

    predict = standardised(fit, x, y) if KIND == "regression" else calibrated(fit, x, y, seed)
    return predict, {}

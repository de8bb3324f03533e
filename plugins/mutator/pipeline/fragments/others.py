"""Neighbours, discriminants, naive Bayes and a small network."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import ComplementNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline

from gome.plugins.mutator.pipeline.fragments.boosters import Fitted, probabilities
from gome.plugins.mutator.pipeline.fragments.constants import KIND, THREADS
from gome.plugins.mutator.pipeline.fragments.matrices import dense


def fit_knn(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """k nearest neighbours weighted by distance."""
    maker: Any = KNeighborsRegressor if KIND == "regression" else KNeighborsClassifier
    model = maker(min(p["k"], len(y)), weights="distance", metric=p["metric"], n_jobs=THREADS).fit(x, y)
    return lambda rows: probabilities(model, rows), {}


def fit_discriminant(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """Linear discriminant analysis with shrunk covariance; the quadratic form works on principal components, fewer
    than half the rows of the smallest class."""
    x = dense(x)
    if p["form"] == "linear":
        model: Any = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=p["shrinkage"] or "auto")
    else:
        width = int(np.unique(y, return_counts=True)[1].min()) // 2
        components = PCA(max(1, min(width, x.shape[1])), svd_solver="full")
        model = make_pipeline(components, QuadraticDiscriminantAnalysis(reg_param=max(p["shrinkage"], 1e-3)))
    model.fit(x, y)
    return lambda rows: np.nan_to_num(probabilities(model, dense(rows))), {}


def fit_naive_bayes(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """Complement naive Bayes; columns are shifted to start at 0."""
    low = np.minimum(x.min(axis=0).toarray().ravel() if sparse.issparse(x) else np.nanmin(x, axis=0), 0.0)

    def shifted(rows: Any) -> Any:
        if sparse.issparse(rows) and not low.any():
            return rows
        return np.maximum(np.nan_to_num(dense(rows)) - low, 0.0)

    model = ComplementNB(alpha=p["alpha"]).fit(shifted(x), y)
    return lambda rows: probabilities(model, shifted(rows)), {}


def fit_mlp(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """Multi-layer perceptron; the number of epochs is what does best on an inner split."""
    settings = {
        "hidden_layer_sizes": tuple(p["hidden"]),
        "alpha": p["alpha"],
        "learning_rate_init": p["learning_rate"],
        "batch_size": min(p["batch"], len(y)),
        "max_iter": p["epochs"],
        "random_state": seed,
    }
    middle, spread = (float(y.mean()), max(float(y.std()), 1e-12)) if KIND == "regression" else (0.0, 1.0)
    stop = KIND == "regression" or np.unique(y, return_counts=True)[1].min() >= 2
    early = {"early_stopping": stop, "validation_fraction": 0.15, "n_iter_no_change": 12}
    if KIND == "regression":
        model: Any = MLPRegressor(**settings, **early).fit(x, (y - middle) / spread)
    else:
        model = MLPClassifier(**settings, **early).fit(x, y)
    info = {"best_iteration": int(model.n_iter_), "rounds": p["epochs"]}
    return lambda rows: probabilities(model, rows) * spread + middle, info

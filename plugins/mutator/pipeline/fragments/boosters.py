"""Gradient boosting and forests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils.class_weight import compute_sample_weight

from gome.plugins.mutator.pipeline.fragments.constants import CLASSES, KIND, THREADS
from gome.plugins.mutator.pipeline.fragments.matrices import dense

Fitted = tuple[Callable[[Any], np.ndarray], dict[str, Any]]


def inner_split(y: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the training folds to fit on and rows to stop early on; stratified where classes allow."""
    maker: Any = ShuffleSplit
    if KIND != "regression" and np.unique(y, return_counts=True)[1].min() >= 2:
        maker, share = StratifiedShuffleSplit, max(share, len(np.unique(y)) / len(y))
    inside, outside = next(maker(1, test_size=min(share, 0.5), random_state=seed).split(np.zeros(len(y)), y))
    return np.sort(inside), np.sort(outside)


def probabilities(model: Any, x: Any) -> np.ndarray:
    """Predictions of a scikit-learn model as columns: values, P(second class), or a column per class."""
    if KIND == "regression":
        return model.predict(x)[:, None]
    found = np.zeros((x.shape[0], len(CLASSES)))
    found[:, model.classes_.astype(int)] = model.predict_proba(x)
    return found[:, 1:2] if KIND == "binary" else found


def fit_booster(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """LightGBM; rounds by early stopping on an inner split, then a fit on all training rows with that number."""
    settings = {
        "objective": p["objective"],
        "learning_rate": p["learning_rate"],
        "num_leaves": p["leaves"],
        "max_depth": p["max_depth"],
        "min_data_in_leaf": p["min_child"],
        "feature_fraction": p["colsample"],
        "bagging_fraction": p["subsample"],
        "bagging_freq": 1 if p["subsample"] < 1 else 0,
        "lambda_l1": p["l1"],
        "lambda_l2": p["l2"],
        "max_bin": p["max_bin"],
        "extra_trees": p["extra_trees"],
        "linear_tree": p["linear_leaves"],
        "feature_pre_filter": False,
        "seed": seed,
        "num_threads": THREADS,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    weight = None
    if KIND == "regression":
        settings["tweedie_variance_power"] = p["tweedie_power"]
    else:
        settings["num_class"] = len(CLASSES) if KIND == "multiclass" else 1
        weight = compute_sample_weight("balanced", y) if p["class_weight"] == "balanced" else None
    categorical = matrix.categorical if p["native"] else []
    data = lgb.Dataset(x, y, weight=weight, categorical_feature=categorical, params=settings, free_raw_data=False)
    best, model = p["rounds"], None
    if p["inner"]:
        inside, outside = inner_split(y, p["inner"], seed)
        stop = lgb.early_stopping(p["patience"], first_metric_only=True, verbose=False)
        model = lgb.train(
            settings,
            data.subset(inside.tolist()),
            p["rounds"],
            valid_sets=[data.subset(outside.tolist())],
            callbacks=[stop],
        )
        best = max(1, model.best_iteration)
    if model is None or p["refit"]:
        model = lgb.train(settings, data, best)
    gain = model.feature_importance("gain", iteration=best)
    info = {
        "best_iteration": best,
        "rounds": p["rounds"],
        "importance": dict(zip(matrix.names, gain / max(gain.sum(), 1e-12), strict=True)),
        "reuse": {"rounds": best, "inner": 0.0} if p["refit"] else {},
    }

    def predict(rows: Any) -> np.ndarray:
        found: Any = model.predict(rows, num_iteration=best, num_threads=THREADS)
        return found if found.ndim == 2 else found[:, None]

    return predict, info


def fit_hist_booster(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """scikit-learn's histogram gradient boosting with early stopping on an inner split."""
    settings = {
        "learning_rate": p["learning_rate"],
        "max_leaf_nodes": p["leaves"],
        "min_samples_leaf": p["min_child"],
        "max_features": p["max_features"],
        "l2_regularization": p["l2"],
        "max_iter": p["rounds"],
        "early_stopping": True,
        "n_iter_no_change": p["patience"],
        "validation_fraction": 0.15,
        "random_state": seed,
    }
    if KIND == "regression":
        model: Any = HistGradientBoostingRegressor(loss=p["loss"], **settings)
    else:
        weight = None if p["class_weight"] == "none" else "balanced"
        settings["early_stopping"] = np.unique(y, return_counts=True)[1].min() >= 2
        model = HistGradientBoostingClassifier(class_weight=weight, **settings)
    model.fit(dense(x), y)
    info = {"best_iteration": int(model.n_iter_), "rounds": p["rounds"]}
    return lambda rows: probabilities(model, dense(rows)), info


def fit_trees(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """Random forest or extremely randomised trees; missing numbers go below all others."""
    makers: dict[tuple[bool, bool], Any] = {
        (True, True): ExtraTreesRegressor,
        (True, False): RandomForestRegressor,
        (False, True): ExtraTreesClassifier,
        (False, False): RandomForestClassifier,
    }
    settings: dict[str, Any] = {} if p["class_weight"] == "none" else {"class_weight": "balanced"}
    model = makers[KIND == "regression", p["extra"]](
        p["trees"],
        min_samples_leaf=p["min_leaf"],
        max_features=p["max_features"],
        n_jobs=THREADS,
        random_state=seed,
        **({} if KIND == "regression" else settings),
    )

    def filled(rows: Any) -> np.ndarray:
        return np.nan_to_num(dense(rows), nan=-1e9).astype(np.float32)

    model.fit(filled(x), y)
    info = {"importance": dict(zip(matrix.names, model.feature_importances_, strict=True))}
    return lambda rows: probabilities(model, filled(rows)), info

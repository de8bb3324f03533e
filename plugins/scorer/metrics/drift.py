"""How well a small booster tells training rows from test rows: the adversarial AUC, with the columns that give it away.

The only file here that imports LightGBM. One thread (it runs inside gome's own process, beside the programs), at most
4,000 rows, two folds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import lightgbm
import numpy as np
import pandas as pd

from gome.plugins.scorer.metrics.formulas import ranked_value, ranking

ROWS = 4000
WIDTH = 200
"""Columns looked at; of wider tables every n-th."""


class Drift(NamedTuple):
    """`auc` near 0.5 means the same distribution; `columns` are (name, share of the split gain), largest first."""

    auc: float
    rows: int
    columns: tuple[tuple[str, float], ...]


def _matrix(train: pd.DataFrame, test: pd.DataFrame, columns: list[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    parts = []
    for name in columns:
        both = pd.concat([train[name], test[name]], ignore_index=True)
        if pd.api.types.is_numeric_dtype(both) and not pd.api.types.is_bool_dtype(both):
            parts.append(both.to_numpy(dtype=np.float64, na_value=np.nan))
        else:
            # Codes by frequency, so that a level's rank means the same on both sides and rare levels come last.
            order = both.astype("string").value_counts(dropna=False).index
            parts.append(pd.Index(order).get_indexer(both.astype("string")).astype(np.float64))
    return np.column_stack(parts)


def adversarial(train: pd.DataFrame, test: pd.DataFrame, columns: list[str], seed: int) -> Drift | None:
    """Fit and judge the classifier; None when there is nothing to compare (no columns, or a handful of rows)."""
    if len(columns) > WIDTH:
        columns = columns[:: -(-len(columns) // WIDTH)]
    if not columns or min(len(train), len(test)) < 20:
        return None
    generator = np.random.RandomState(seed % 2**32)
    half = ROWS // 2
    left = train.iloc[np.sort(generator.permutation(len(train))[:half])]
    right = test.iloc[np.sort(generator.permutation(len(test))[:half])]
    matrix = _matrix(left, right, columns)
    truth = np.repeat([0.0, 1.0], [len(left), len(right)])
    shuffled = generator.permutation(len(truth))
    fold: np.ndarray[Any, Any] = np.empty(len(truth), dtype=np.int64)
    fold[shuffled] = np.arange(len(truth)) % 2
    predicted = np.zeros(len(truth))
    gain = np.zeros(len(columns))
    parameters = {
        "objective": "binary",
        "num_leaves": 8,
        "learning_rate": 0.1,
        "min_data_in_leaf": 20,
        "feature_fraction": 0.7,
        "num_threads": 1,
        "verbosity": -1,
        "seed": 0,
        "deterministic": True,
        "force_row_wise": True,
    }
    for part in (0, 1):
        data = lightgbm.Dataset(matrix[fold != part], truth[fold != part], free_raw_data=True)
        booster = lightgbm.train(parameters, data, num_boost_round=30)
        predicted[fold == part] = np.asarray(booster.predict(matrix[fold == part], num_threads=1))
        gain += booster.feature_importance("gain")
    areas = []
    for here in (fold == 0, fold == 1):
        everyone = np.ones((int(here.sum()), 1))
        areas.append(ranked_value("roc_auc", ranking(truth[here], predicted[here]), everyone))
    shares = gain / gain.sum() if gain.sum() > 0 else gain
    top = np.argsort(-shares, kind="stable")[:8]
    return Drift(
        float(np.mean(areas)), len(truth), tuple((columns[i], round(float(shares[i]), 3)) for i in top if shares[i] > 0)
    )

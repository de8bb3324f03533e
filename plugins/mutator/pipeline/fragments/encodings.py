"""Features that look at the target: fitted on the training folds only, and cross-fitted inside them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor

from gome.plugins.mutator.pipeline.fragments.constants import CLASSES, KIND
from gome.plugins.mutator.pipeline.fragments.steps import as_text, category_names

INNER_FOLDS = 5
LookUp = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def target_columns(y: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The target as columns to average: itself, or the membership of each class."""
    if KIND != "multiclass":
        return y.astype(float)[:, None], ["target"]
    return np.eye(len(CLASSES))[y], [f"is_{name}" for name in CLASSES]


def smoothed_means(keys: np.ndarray, goal: np.ndarray, wanted: np.ndarray, smoothing: float) -> np.ndarray:
    """Mean target per key, drawn towards the overall mean as by `smoothing` extra rows, looked up for other keys."""
    overall = goal.mean(axis=0)
    frame = pd.DataFrame(goal).groupby(keys, sort=True)
    sums, counts = frame.sum(), frame.size().to_numpy()[:, None]
    means = (sums.to_numpy() + smoothing * overall) / (counts + smoothing)
    place = pd.Index(sums.index).get_indexer(wanted)
    return np.where(place[:, None] >= 0, means[place], overall)


def cross_fitted(
    train: np.ndarray, others: list[np.ndarray], goal: np.ndarray, seed: int, look_up: LookUp
) -> list[np.ndarray]:
    """What `look_up(known, goal, wanted)` finds: cross-fitted for the training rows, from all of these for others."""
    crossed = np.zeros_like(goal)
    for inside, outside in KFold(INNER_FOLDS, shuffle=True, random_state=seed).split(train):
        crossed[outside] = look_up(train[inside], goal[inside], train[outside])
    return [crossed, *(look_up(train, goal, wanted) for wanted in others)]


def add_columns(tables: list[pd.DataFrame], name: str, found: list[np.ndarray], suffixes: list[str]) -> None:
    """Add what was found for each table as columns of a name."""
    for number, suffix in enumerate(suffixes):
        for table, values in zip(tables, found, strict=True):
            table[f"{name}_{suffix}"] = values[:, number]


def add_target_encoding(
    tables: list[pd.DataFrame],
    y: np.ndarray,
    seed: int,
    columns: list[str],
    smoothing: float,
    joint: bool,
    min_cardinality: int,
) -> None:
    """Mean target of a category; of all category columns with enough levels when none is named."""
    goal, suffixes = target_columns(y)
    names = columns or [n for n in category_names(tables[0]) if tables[0][n].nunique() >= min_cardinality]
    for group in [names] if joint and names else [[name] for name in names]:
        keys = [joint_keys(table, group) for table in tables]
        found = cross_fitted(keys[0], keys[1:], goal, seed, partial(smoothed_means, smoothing=smoothing))
        add_columns(tables, "_x_".join(group), found, suffixes)


def joint_keys(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """The joint category of each row as one text."""
    keys = as_text(table[columns[0]]).fillna("?").astype(str)
    for name in columns[1:]:
        keys = keys + "|" + as_text(table[name]).fillna("?").astype(str)
    return keys.to_numpy(object)


def near_means(known: np.ndarray, goal: np.ndarray, wanted: np.ndarray, k: int) -> np.ndarray:
    """Mean target of the nearest known points."""
    found: np.ndarray = KNeighborsRegressor(min(k, len(known))).fit(known, goal).predict(wanted)
    return found


def add_neighbours(
    tables: list[pd.DataFrame], y: np.ndarray, seed: int, columns: list[str], k: list[int], scale: bool
) -> None:
    """Mean target of the nearest training rows in the space of some columns."""
    goal, suffixes = target_columns(y)
    middle = tables[0][columns].median()
    spread = tables[0][columns].std().replace(0, 1.0) if scale else 1.0
    points = [((table[columns].fillna(middle) - middle) / spread).to_numpy() for table in tables]
    for count in k:
        found = cross_fitted(points[0], points[1:], goal, seed, partial(near_means, k=count))
        add_columns(tables, f"near{count}_{'_'.join(columns)}", found, suffixes)


def drop_fitted_columns(tables: list[pd.DataFrame], y: np.ndarray, seed: int, columns: list[str]) -> None:
    """Leave columns out after the fitted steps have used them."""
    for table in tables:
        for name in columns:
            del table[name]

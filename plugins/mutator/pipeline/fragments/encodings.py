"""Features that look at the target: fitted on the training folds only, and cross-fitted inside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor

from gome.plugins.mutator.pipeline.fragments.constants import CLASSES, KIND
from gome.plugins.mutator.pipeline.fragments.steps import as_text, category_names

INNER_FOLDS = 5


def target_columns(y: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The target as columns to average: itself, or the membership of each class."""
    if KIND != "multiclass":
        return y.astype(float)[:, None], ["target"]
    return np.eye(len(CLASSES))[y], [f"is_{name}" for name in CLASSES]


def smoothed_means(keys: np.ndarray, goal: np.ndarray, smoothing: float, wanted: np.ndarray) -> np.ndarray:
    """Mean target per key, drawn towards the overall mean as by `smoothing` extra rows, looked up for other keys."""
    overall = goal.mean(axis=0)
    frame = pd.DataFrame(goal).groupby(keys, sort=True)
    sums, counts = frame.sum(), frame.size().to_numpy()[:, None]
    means = (sums.to_numpy() + smoothing * overall) / (counts + smoothing)
    place = pd.Index(sums.index).get_indexer(wanted)
    return np.where(place[:, None] >= 0, means[place], overall)


def target_means(
    train: np.ndarray, others: list[np.ndarray], y: np.ndarray, smoothing: float, seed: int
) -> list[np.ndarray]:
    """Smoothed target means of keys: cross-fitted for the training rows, from all of these for the other rows."""
    goal, _ = target_columns(y)
    crossed = np.zeros_like(goal)
    for inside, outside in KFold(INNER_FOLDS, shuffle=True, random_state=seed).split(train):
        crossed[outside] = smoothed_means(train[inside], goal[inside], smoothing, train[outside])
    return [crossed, *(smoothed_means(train, goal, smoothing, keys) for keys in others)]


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
    names = columns or category_names(tables[0])
    if not columns:
        names = [name for name in names if tables[0][name].nunique() >= min_cardinality]
    for group in [names] if joint and names else [[name] for name in names]:
        keys = [cross_keys(table, group) for table in tables]
        means = target_means(keys[0], keys[1:], y, smoothing, seed)
        for number, suffix in enumerate(target_columns(y)[1]):
            for table, mean in zip(tables, means, strict=True):
                table["_x_".join(group) + "_" + suffix] = mean[:, number]


def cross_keys(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """The joint category of each row as one text."""
    keys = as_text(table[columns[0]]).fillna("?").astype(str)
    for name in columns[1:]:
        keys = keys + "|" + as_text(table[name]).fillna("?").astype(str)
    return keys.to_numpy(object)


def add_neighbours(
    tables: list[pd.DataFrame], y: np.ndarray, seed: int, columns: list[str], k: list[int], scale: bool
) -> None:
    """Mean target of the nearest training rows in the space of some columns."""
    goal, suffixes = target_columns(y)
    middle = tables[0][columns].median()
    spread = tables[0][columns].std().replace(0, 1.0) if scale else 1.0
    points = [((table[columns].fillna(middle) - middle) / spread).to_numpy() for table in tables]
    for count in k:
        found = [np.zeros_like(goal)]
        for inside, outside in KFold(INNER_FOLDS, shuffle=True, random_state=seed).split(goal):
            model = KNeighborsRegressor(min(count, len(inside))).fit(points[0][inside], goal[inside])
            found[0][outside] = model.predict(points[0][outside])
        model = KNeighborsRegressor(min(count, len(goal))).fit(points[0], goal)
        found += [model.predict(p) for p in points[1:]]
        for number, suffix in enumerate(suffixes):
            for table, mean in zip(tables, found, strict=True):
                table[f"near{count}_{'_'.join(columns)}_{suffix}"] = mean[:, number]


def drop_fitted_columns(tables: list[pd.DataFrame], y: np.ndarray, seed: int, columns: list[str]) -> None:
    """Leave columns out after the fitted steps have used them."""
    for table in tables:
        for name in columns:
            del table[name]

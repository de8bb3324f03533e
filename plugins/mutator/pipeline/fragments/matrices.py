"""Matrices: categories and numbers become columns; everything is fitted on the training folds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer

from gome.plugins.mutator.pipeline.fragments.constants import KIND, THREADS
from gome.plugins.mutator.pipeline.fragments.encodings import cross_fitted, smoothed_means, target_columns

Parts = list[Any]


@dataclass
class Matrix:
    """The same columns for training rows, scored rows and test rows; `categorical` are the columns of codes."""

    parts: Parts
    names: list[str]
    categorical: list[int] = field(default_factory=list)


def dense(x: Any) -> np.ndarray:
    """The matrix without compression."""
    return x.toarray() if sparse.issparse(x) else x


def category_words(table: pd.DataFrame) -> pd.DataFrame:
    """Category columns as text, with a word for missing."""
    return table.fillna("missing").astype(str).astype(object)


def category_codes(tables: list[pd.DataFrame], y: np.ndarray, seed: int, rare: int) -> Matrix:
    """Whole numbers in order of training frequency; rare and unknown categories share the last one."""
    words = [category_words(table) for table in tables]
    parts = [np.zeros(table.shape) for table in tables]
    for number, name in enumerate(tables[0]):
        counts = words[0][name].value_counts()
        common = [word for _, word in sorted((-n, word) for word, n in counts.items() if n >= rare)]
        place = {word: float(i) for i, word in enumerate(common)}
        for part, table in zip(parts, words, strict=True):
            part[:, number] = table[name].map(place).fillna(float(len(common))).to_numpy(float)
    return Matrix(parts, [str(name) for name in tables[0].columns], list(range(len(tables[0].columns))))


def category_targets(tables: list[pd.DataFrame], y: np.ndarray, seed: int, rare: int) -> Matrix:
    """Smoothed mean target of each category, cross-fitted inside the training rows."""
    parts: list[list[np.ndarray]] = [[] for _ in tables]
    names: list[str] = []
    goal, suffixes = target_columns(y)
    for name in tables[0]:
        keys = [category_words(table[[name]])[name].to_numpy(object) for table in tables]
        found = cross_fitted(keys[0], keys[1:], goal, seed, partial(smoothed_means, smoothing=10.0))
        for part, mean in zip(parts, found, strict=True):
            part.append(mean)
        names += [f"{name}_{suffix}" for suffix in suffixes]
    return Matrix(
        [np.hstack(part) if part else np.zeros((len(t), 0)) for part, t in zip(parts, tables, strict=True)], names
    )


def category_onehot(tables: list[pd.DataFrame], y: np.ndarray, seed: int, rare: int) -> Matrix:
    """A column of 0 and 1 per category; rare ones are merged, unknown ones count as rare."""
    encoder = OneHotEncoder(min_frequency=rare, max_categories=150, handle_unknown="infrequent_if_exist")
    words = [category_words(table).to_numpy(object) for table in tables]
    if not words[0].shape[1]:
        return Matrix([np.zeros((len(table), 0)) for table in tables], [])
    encoder.fit(words[0])
    return Matrix([encoder.transform(w) for w in words], list(encoder.get_feature_names_out(list(tables[0]))))


def raw_numbers(train: np.ndarray, others: Parts, log_skew: float, winsor: float) -> Parts:
    """Numbers as they are."""
    return [train, *others]


def without_gaps(train: np.ndarray, others: Parts) -> Parts:
    """Missing numbers become the training median."""
    blank = np.isnan(train).all(axis=0)
    middle = np.zeros(train.shape[1])
    middle[~blank] = np.nanmedian(train[:, ~blank], axis=0)
    return [np.where(np.isnan(part), middle, part) for part in (train, *others)]


def standard_numbers(train: np.ndarray, others: Parts, log_skew: float, winsor: float) -> Parts:
    """Numbers without gaps, skewed ones logged, clipped at training quantiles, with mean 0 and deviation 1."""
    parts = without_gaps(train, others)
    first = parts[0]
    if log_skew:
        low = np.minimum.reduce([part.min(axis=0, initial=0.0) for part in parts])
        centred = first - first.mean(axis=0)
        skew = (centred**3).mean(axis=0) / np.maximum((centred**2).mean(axis=0), 1e-12) ** 1.5
        skewed = (low >= 0) & (skew > log_skew)
        parts = [np.where(skewed, np.log1p(np.where(skewed, part, 0.0)), part) for part in parts]
    if winsor:
        low, high = np.quantile(parts[0], [winsor, 1 - winsor], axis=0)
        flat = low == high
        low, high = np.where(flat, parts[0].min(axis=0), low), np.where(flat, parts[0].max(axis=0), high)
        parts = [np.clip(part, low, high) for part in parts]
    mean, spread = parts[0].mean(axis=0), parts[0].std(axis=0)
    return [(part - mean) / np.where(spread > 1e-12, spread, 1.0) for part in parts]


def quantile_numbers(train: np.ndarray, others: Parts, log_skew: float, winsor: float) -> Parts:
    """Numbers without gaps, mapped to a normal distribution by their training quantiles, and standardised."""
    parts = without_gaps(train, others)
    if not train.shape[1]:
        return parts
    mapping = QuantileTransformer(n_quantiles=min(1000, len(train)), output_distribution="normal", random_state=0)
    mapping.fit(parts[0])
    parts = [np.clip(mapping.transform(part), -4, 4) for part in parts]
    spread = parts[0].std(axis=0)
    return [part / np.where(spread > 1e-12, spread, 1.0) for part in parts]


def add_components(matrix: Matrix, y: np.ndarray, seed: int, components: int, only: bool) -> Matrix:
    """Principal components beside the columns, or instead of them."""
    parts = [dense(part) for part in matrix.parts]
    model = PCA(min(components, *parts[0].shape), svd_solver="full").fit(parts[0])
    found = [model.transform(part) for part in parts]
    names = [f"pc{i}" for i in range(found[0].shape[1])]
    if only:
        return Matrix(found, names)
    return Matrix(
        [np.hstack(pair) for pair in zip(parts, found, strict=True)], matrix.names + names, matrix.categorical
    )


def keep_top(matrix: Matrix, y: np.ndarray, seed: int, count: int) -> Matrix:
    """The columns with the most gain in a quick booster."""
    settings = {
        "objective": {"regression": "l2", "binary": "binary"}.get(KIND, "multiclass"),
        "num_class": 1 if KIND != "multiclass" else int(y.max()) + 1,
        "learning_rate": 0.1,
        "num_leaves": 15,
        "feature_fraction": 0.5,
        "seed": seed,
        "num_threads": THREADS,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    gain = lgb.train(settings, lgb.Dataset(dense(matrix.parts[0]), y), 100).feature_importance("gain")
    keep = sorted(np.argsort(-gain, kind="stable")[:count])
    marked = set(matrix.categorical)
    return Matrix(
        [part[:, keep] for part in matrix.parts],
        [matrix.names[i] for i in keep],
        [place for place, i in enumerate(keep) if i in marked],
    )


def stack_blocks(blocks: list[Parts]) -> Parts:
    """Columns of all blocks side by side: dense, unless there is text or the dense form would be huge."""
    rows, columns = blocks[0][0].shape[0], sum(block[0].shape[1] for block in blocks)
    together = []
    for place in range(len(blocks[0])):
        pieces = [block[place] for block in blocks if block[place].shape[1]]
        if columns > 5_000 or (rows * columns > 40_000_000 and any(sparse.issparse(p) for p in pieces)):
            together.append(sparse.csr_matrix(sparse.hstack([sparse.csr_matrix(p) for p in pieces])))
        else:
            together.append(np.hstack([dense(p) for p in pieces]) if pieces else np.zeros((rows, 0)))
    return together

"""Do neighbours in the file, or in the id, have similar targets? Then order leaks what rows alone do not say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from gome.kernel.tasks import Finding
from gome.plugins.tasks.check.sample import Array, Sample

WINDOWS = (1, 10)
SHUFFLES = 20
SURE = 6.0
"""Standard deviations above chance that count."""
WEAK, STRONG = 0.02, 0.3
"""Strengths (0 = chance, 1 = neighbours are always equal) from which it is a warning and a leak."""
MOST = 30_000


def strength(order: Array, centred: Array) -> tuple[float, float]:
    """Return how much a row's neighbours in an order say about its target, and by how many standard deviations.

    The statistic is the mean product of a row's centred target with the mean of its neighbours', divided by its own
    mean square; chance is found by shuffling.
    """
    rng = np.random.default_rng(0)
    arranged = centred[order][:MOST]
    best = (0.0, 0.0)
    for window in WINDOWS:
        if len(arranged) <= 4 * window:
            continue
        seen = _agreement(arranged, window)
        chance = [_agreement(arranged[rng.permutation(len(arranged))], window) for _ in range(SHUFFLES)]
        sure = (seen - float(np.mean(chance))) / (float(np.std(chance)) or 1e-12)
        best = max(best, (seen, sure))
    return best


def _agreement(values: Array, window: int) -> float:
    total = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    rows = np.arange(len(values))
    low, high = np.maximum(rows - window, 0), np.minimum(rows + window + 1, len(values))
    mean = (total[high] - total[low] - values) / (high - low - 1)[:, None]
    return float((values * mean).sum() / (values**2).sum())


def check_order(sample: Sample) -> list[Finding]:
    """Row order of train.csv and nearest ids."""
    found = []
    seen, sure = strength(np.arange(len(sample.train)), sample.centred)
    if sure > SURE and seen > WEAK:
        found.append(
            Finding(
                "leak" if seen > STRONG else "warning",
                "row order",
                f"rows that follow each other in train.csv have similar {sample.task.target!r} "
                f"(strength {seen:.2f} of 1, {min(sure, 999):.0f} SD above chance).",
                "Shuffle the rows before numbering them; if they are ordered in time, name the time column.",
            )
        )
    numbers = _as_numbers(sample.train[sample.task.id])
    if numbers is not None:
        seen, sure = strength(np.argsort(numbers, kind="stable"), sample.centred)
        if sure > SURE and seen > WEAK:
            found.append(
                Finding(
                    "leak" if seen > STRONG else "warning",
                    "nearest id",
                    f"rows with neighbouring {sample.task.id!r} have similar {sample.task.target!r} "
                    f"(strength {seen:.2f} of 1, {min(sure, 999):.0f} SD above chance).",
                    "The id is no feature, but it tells of the order in which rows came: number them anew after "
                    "shuffling.",
                    (sample.task.id,),
                )
            )
    same = set(sample.train[sample.task.id].astype(str)) & set(sample.test[sample.task.id].astype(str))
    if same:
        found.append(
            Finding(
                "warning",
                "ids",
                f"{len(same):,} values of {sample.task.id!r} occur in train.csv and in test.csv.",
                "Ids must tell rows apart; number the rows anew.",
                (sample.task.id,),
            )
        )
    return found + _id_like(sample)


def _as_numbers(ids: pd.Series) -> Array | None:
    if not pd.api.types.is_numeric_dtype(ids):
        ids = pd.to_numeric(ids.astype(str).str.extract(r"(\d{1,18})\D*$")[0], errors="coerce")
    return None if ids.isna().mean() > 0.05 else np.asarray(ids.fillna(-1), dtype=float)


def _id_like(sample: Sample) -> list[Finding]:
    """Columns that number or name rows: different in every one, and for numbers without gaps to speak of."""
    columns = []
    for column in sample.task.columns:
        values = pd.concat([sample.train[column.name], sample.test[column.name]], ignore_index=True).dropna()
        if len(values) < 30 or column.kind in ("text", "time") or pd.api.types.is_bool_dtype(values):
            continue
        if not pd.api.types.is_numeric_dtype(values):
            if values.nunique() > 0.98 * len(values):
                columns.append(column.name)
        elif values.is_unique and bool(((values % 1) == 0).all()):
            ordered = np.sort(np.asarray(values, dtype=float))
            steps = np.array([b - a for a, b in pairwise(ordered)])
            if ordered[-1] - ordered[0] < 3 * len(values) or len(np.unique(steps)) == 1:
                columns.append(column.name)
    return [
        Finding(
            "warning",
            "id-like column",
            f"{name!r} is different in every row, like an id.",
            f"It cannot help with new rows and may tell of their order: --drop {name}, or --id {name} if it is the id.",
            (name,),
        )
        for name in columns
    ]

"""What the tables look like, as plain JSON of at most 16 kB: what a reasoner goes by before any program has run.

Keys of the profile (lists and tables hold the most telling columns only; all figures are rounded to four digits):

    rows_train, rows_test, columns, memory_mb
    kinds          {"numeric": 33, "category": 40, …}
    names          {"numeric": [...], "category": [...], "text": [...], "time": [...]} (80 of each at most)
    missing        {"share": of all cells, "columns": {name: share, …}, "test_only": [columns missing in test only]}
    cardinality    {category column: levels}
    high_cardinality [category columns of more than 10 levels]
    unseen         {category column: share of test rows with a level that training rows do not have}
    numeric        {"skew": {name: skew}, "correlation": {name: rank correlation with the target; for several
                   classes the correlation ratio}, "zeros": {name: share}, "codes": [whole numbers of few values]}
    target         regression: {"kind", "min", "max", "mean", "std", "median", "skew", "log_skew", "zeros", "negative",
                   "positive", "whole", "distinct", "outliers"}; classes: {"kind", "classes": {name: share},
                   "minority", "imbalance", "rows_per_class"}
    duplicates     {"train": rows repeated with their target, "features": rows repeated without it, "contradicting":
                   repeated rows that disagree on the target, "shared": test rows whose features occur in training}
    constant       [columns of one value]
    adversarial    {"auc", "rows", "columns": [[name, share], …]}; absent for tiny tables
    ordinal        {category column: [its levels, worst first]}
    units          {word: [numeric columns that share it]}
    years          [columns], coordinates: [[latitude, longitude]]
    text           {column: {"length": mean characters, "words": mean words, "distinct": share}}
    group, time    {"column", …}; absent when the task has none

Called by `perform.py`. Findings are sentences about traps.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pandas as pd

from gome.events import Task
from gome.plugins.scorer.metrics.columns import coordinate_pairs, ordered_levels, unit_groups, year_columns
from gome.plugins.scorer.metrics.drift import adversarial
from gome.plugins.scorer.metrics.tables import target_of

LIMIT = 16_000
"""Bytes of JSON; longer tables are shortened until it fits."""
SAMPLE = 50_000
"""Rows from which moments and correlations are computed."""


def _round(number: float) -> float | None:
    return float(f"{number:.4g}") if np.isfinite(number) else None


def _skew(values: np.ndarray[Any, Any]) -> float:
    values = values[np.isfinite(values)]
    if len(values) < 3:
        return 0.0
    centred = values - values.mean()
    spread = float(np.sqrt((centred**2).mean()))
    return float((centred**3).mean() / spread**3) if spread > 1e-12 * (abs(float(values.mean())) + 1e-300) else 0.0


def _top(table: dict[str, float], count: int) -> dict[str, float]:
    """The entries of largest size, rounded."""
    kept = sorted(((k, v) for k, v in table.items() if np.isfinite(v)), key=lambda item: (-abs(item[1]), item[0]))
    return {name: float(f"{number:.4g}") for name, number in kept[:count]}


def profile_of(task: Task, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Profile both tables; returns the profile and its findings."""
    by_kind: dict[str, list[str]] = {kind: [] for kind in ("numeric", "category", "text", "time")}
    for column in task.columns:
        if column.name in train and column.name in test:
            by_kind[column.kind].append(column.name)
    names = [name for group in by_kind.values() for name in group]
    # A column called numeric whose cells are texts is a category in all but name.
    numeric = [n for n in by_kind["numeric"] if pd.api.types.is_numeric_dtype(train[n])]
    categories = by_kind["category"] + [n for n in by_kind["numeric"] if n not in numeric]
    sample = train if len(train) <= SAMPLE else train.sample(SAMPLE, random_state=seed % 2**32)
    target = target_of(task, train[task.target])
    found: dict[str, Any] = {
        "rows_train": len(train),
        "rows_test": len(test),
        "columns": len(names),
        "memory_mb": _round(float(train.memory_usage(deep=len(train) < SAMPLE).sum()) / 2**20),
        "kinds": {kind: len(group) for kind, group in by_kind.items() if group},
        "names": {kind: group[:80] for kind, group in by_kind.items() if group},
        "missing": _missing(train, test, names),
        **_categories(train, test, categories),
        "numeric": _numeric(sample, numeric, target_of(task, sample[task.target]), several=task.kind == "multiclass"),
        "target": _classes(task, target) if task.kind != "regression" else _numbers(target),
        "duplicates": _duplicates(task, train, test, names),
        "constant": [n for n in names if train[n].nunique(dropna=False) <= 1][:30],
        "units": {word: group[:12] for word, group in list(unit_groups(numeric).items())[:12]},
        "years": year_columns({n: _range(train[n]) for n in numeric})[:12],
        "coordinates": coordinate_pairs(numeric)[:4],
        "text": {n: _text(train[n]) for n in by_kind["text"][:8]},
    }
    drift = adversarial(train, test, [*numeric, *categories], seed)
    if drift:
        found["adversarial"] = {
            "auc": _round(drift.auc),
            "rows": drift.rows,
            "columns": [[name, share] for name, share in drift.columns],
        }
    if task.group and task.group in train:
        sizes = train[task.group].value_counts()
        found["group"] = {"column": task.group, "groups": len(sizes), "largest": int(sizes.iloc[0])}
    if task.time and task.time in train:
        found["time"] = {"column": task.time, "moments": int(train[task.time].nunique())}
    return _fitted(found), _findings(task, found)


def _missing(train: pd.DataFrame, test: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    share = train[names].isna().mean()
    there = test[names].isna().mean()
    return {
        "share": _round(float(share.mean())) if names else 0.0,
        "columns": _top({str(n): float(v) for n, v in share.items() if v > 0}, 30),
        "test_only": [n for n in names if there[n] > 0 and share[n] == 0][:20],
    }


def _categories(train: pd.DataFrame, test: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    levels = {n: train[n].dropna().astype("string").unique() for n in names}
    unseen = {}
    for n in names:
        given = test[n].dropna().astype("string")
        unseen[n] = float((~given.isin(levels[n])).sum()) / max(len(test), 1)
    scales = {n: ordered_levels([str(v) for v in levels[n]]) for n in names if len(levels[n]) <= 14}
    return {
        "cardinality": {n: len(v) for n, v in sorted(levels.items(), key=lambda item: -len(item[1]))[:60]},
        "high_cardinality": [n for n in names if len(levels[n]) > 10][:30],
        "unseen": _top({n: v for n, v in unseen.items() if v > 0}, 15),
        "ordinal": {n: scale for n, scale in scales.items() if scale},
    }


def _numeric(sample: pd.DataFrame, names: list[str], target: np.ndarray[Any, Any], several: bool) -> dict[str, Any]:
    """Shapes of the numeric columns and how they go with the target: rank correlation, for several classes the
    correlation ratio of ranks."""
    skew, zeros, correlation, codes = {}, {}, {}, []
    ranks = pd.Series(target).rank().to_numpy()
    for n in names:
        values = sample[n].to_numpy(dtype=np.float64, na_value=np.nan)
        known = np.isfinite(values) & np.isfinite(ranks)
        skew[n] = _skew(values)
        zeros[n] = float((values == 0).mean())
        if known.sum() > 10 and np.ptp(values[known]) > 0 and np.ptp(ranks[known]) > 0:
            own = pd.Series(values[known]).rank().to_numpy()
            if several:
                middle = pd.Series(own).groupby(target[known]).transform("mean").to_numpy()
                correlation[n] = float(np.sqrt(middle.var() / own.var()))
            else:
                correlation[n] = float(np.corrcoef(own, ranks[known])[0, 1])
        distinct = np.unique(values[np.isfinite(values)])
        if 3 <= len(distinct) <= 25 and (distinct % 1 == 0).all() and len(sample) > 20 * len(distinct):
            codes.append(n)
    return {
        "skew": _top({n: v for n, v in skew.items() if abs(v) >= 0.75}, 30),
        "zeros": _top({n: v for n, v in zeros.items() if v >= 0.3}, 20),
        "correlation": _top(correlation, 25),
        "codes": codes[:20],
    }


def _numbers(target: np.ndarray[Any, Any]) -> dict[str, Any]:
    known = target[np.isfinite(target)]
    low, median, high = np.quantile(known, [0.25, 0.5, 0.75])
    fence = 3.0 * (high - low)
    return {
        "kind": "regression",
        "min": _round(float(known.min())),
        "max": _round(float(known.max())),
        "mean": _round(float(known.mean())),
        "std": _round(float(known.std())),
        "median": _round(float(median)),
        "skew": _round(_skew(known)),
        "log_skew": _round(_skew(np.log1p(known))) if known.min() > -1 else None,
        "zeros": _round(float((known == 0).mean())),
        "negative": _round(float((known < 0).mean())),
        "positive": bool(known.min() > 0),
        "whole": bool((known % 1 == 0).all()),
        "distinct": len(np.unique(known)),
        "outliers": _round(float(((known < low - fence) | (known > high + fence)).mean())),
    }


def _classes(task: Task, target: np.ndarray[Any, Any]) -> dict[str, Any]:
    known = target[np.isfinite(target)].astype(np.int64)
    counts = np.bincount(known, minlength=len(task.classes))
    shares = counts / max(len(known), 1)
    return {
        "kind": task.kind,
        "classes": {name: _round(float(s)) for name, s in list(zip(task.classes, shares, strict=True))[:100]},
        "minority": _round(float(shares.min())),
        "imbalance": _round(float(shares.max() / max(shares.min(), 1e-9))),
        "rows_per_class": int(counts.min()),
    }


def _duplicates(task: Task, train: pd.DataFrame, test: pd.DataFrame, names: list[str]) -> dict[str, int]:
    ours = pd.util.hash_pandas_object(train[names].astype("string").fillna(""), index=False)
    theirs = pd.util.hash_pandas_object(test[names].astype("string").fillna(""), index=False)
    answers = train[task.target].astype("string").fillna("")
    repeated = ours.duplicated(keep=False)
    disagree = 0
    if repeated.any():
        kinds = answers[repeated].groupby(ours[repeated].to_numpy()).nunique()
        disagree = int(ours[repeated].isin(kinds.index[kinds > 1]).sum())
    return {
        "train": int(pd.DataFrame({"row": ours, "answer": answers}).duplicated().sum()),
        "features": int(ours.duplicated().sum()),
        "contradicting": disagree,
        "shared": int(theirs.isin(set(ours)).sum()),
    }


def _range(values: pd.Series[Any]) -> tuple[float, float, bool]:
    known = values.dropna()
    if not len(known):
        return (0.0, 0.0, False)
    return (float(known.min()), float(known.max()), bool(((known % 1) == 0).all()))


def _text(values: pd.Series[Any]) -> dict[str, Any]:
    texts = values.dropna().astype("string")
    if not len(texts):
        return {"length": 0.0, "words": 0.0, "distinct": 0.0}
    return {
        "length": _round(float(texts.str.len().mean())),
        "words": _round(float(texts.str.count(r"\S+").mean())),
        "distinct": _round(texts.nunique() / len(texts)),
    }


def _findings(task: Task, found: dict[str, Any]) -> list[str]:
    """Sentences about what a modeller should not be surprised by."""
    out = []
    drift = found.get("adversarial")
    if drift and drift["auc"] is not None and drift["auc"] > 0.6:
        which = ", ".join(name for name, _ in drift["columns"][:3])
        out.append(f"training and test rows can be told apart (adversarial AUC {drift['auc']:.2f}), by {which}")
    repeats = found["duplicates"]
    if repeats["shared"]:
        out.append(f"{repeats['shared']} test rows have the same features as a training row")
    if repeats["contradicting"]:
        out.append(f"{repeats['contradicting']} training rows repeat others' features with another target")
    if found["constant"]:
        out.append("columns of one value: " + ", ".join(found["constant"][:5]))
    strong = [n for n, r in found["numeric"]["correlation"].items() if abs(r) > 0.98]
    if strong:
        out.append(f"{', '.join(strong[:3])} orders rows almost as the target does: does it leak the answer?")
    if task.kind == "regression" and found["target"]["outliers"] and found["target"]["outliers"] > 0.01:
        out.append(f"{found['target']['outliers']:.1%} of the targets lie far outside the rest")
    return out


_PARTS = ("names", "missing", "numeric", "target", "adversarial")
"""Entries whose own entries are the tables that may be shortened; every other entry is a table itself."""


def _fitted(found: dict[str, Any]) -> dict[str, Any]:
    """Halve the longest list or table, again and again, until the profile fits its limit."""
    while len(msgspec.json.encode(found)) > LIMIT:
        holders = [found, *(found[part] for part in _PARTS if part in found)]
        places = [
            (len(msgspec.json.encode(value)), position, key)
            for position, holder in enumerate(holders)
            for key, value in holder.items()
            if isinstance(value, list | dict) and len(value) > 4 and not (holder is found and key in _PARTS)
        ]
        if not places:
            break
        _, position, key = max(places)
        value = holders[position][key]
        half = len(value) // 2
        holders[position][key] = value[:half] if isinstance(value, list) else dict(list(value.items())[:half])
    return found

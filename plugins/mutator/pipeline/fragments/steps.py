"""Features made row by row from all tables at once; none of them looks at the target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

QUALITY = [
    "po fa ta gd ex",
    "poor fair typical good excellent",
    "very_poor poor fair below_average average above_average good very_good excellent very_excellent",
    "poor below_average fair average good very_good ideal premium",
    "none no low medium high very_high",
    "no mn av gd",
    "unf lwq rec blq alq glq",
    "unfinished rough_finished finished",
    "unf rfn fin",
    "fair good very_good premium ideal",
    "never rarely sometimes often always",
    "non-travel travel_rarely travel_frequently",
    "below_college college bachelor master doctor",
    "low medium high very_high",
    "bad good better best",
    "poor fair good very_good excellent",
    "small medium large",
    "xs s m l xl xxl",
    "sev mod gtl",
    "sal sev maj2 maj1 mod min2 min1 typ",
    "dirt_gravel partial_pavement paved",
    "n p y",
]
ABSENT = ("none", "no_", "nan", "missing")


def add_ratio(table: pd.DataFrame, a: str, b: str) -> None:
    """a per b, missing where b is 0."""
    table[f"{a}_per_{b}"] = table[a] / table[b].where(table[b] != 0)


def add_product(table: pd.DataFrame, a: str, b: str) -> None:
    """a times b."""
    table[f"{a}_times_{b}"] = table[a] * table[b]


def add_difference(table: pd.DataFrame, a: str, b: str) -> None:
    """a minus b."""
    table[f"{a}_minus_{b}"] = table[a] - table[b]


def add_sum(table: pd.DataFrame, columns: list[str], name: str, weights: list[float] | None = None) -> None:
    """Weighted sum of columns; a missing value counts as 0."""
    table[name] = table[columns].fillna(0.0).to_numpy() @ np.asarray(weights or [1.0] * len(columns))


def as_text(column: pd.Series) -> pd.Series:
    """The column as text, whole numbers without a decimal point, None where missing."""
    if pd.api.types.is_numeric_dtype(column):
        words = column.map(lambda v: f"{v:.12g}")
        return words.astype(object).where(column.notna(), None)
    return column.astype(object).where(column.notna(), None)


def category_names(table: pd.DataFrame) -> list[str]:
    """Columns of categories and texts."""
    return [str(name) for name in table.columns if table[name].dtype == object]


def add_ordinal(table: pd.DataFrame, column: str, order: list[str]) -> None:
    """Rank of a category in a given order, worst first."""
    table[f"{column}_rank"] = as_text(table[column]).map({name: float(i) for i, name in enumerate(order)}).astype(float)


def add_quality(table: pd.DataFrame, columns: list[str] | None = None) -> None:
    """Ranks of columns whose values speak one of the vocabularies of QUALITY; absence ranks lowest."""
    names = columns or category_names(table)
    for name in names:
        words = as_text(table[name]).map(lambda v: "nan" if v is None else str(v).strip().lower().replace(" ", "_"))
        there = sorted(set(words))
        real = [w for w in there if not w.startswith(ABSENT)]
        for scale in (s.split() for s in QUALITY):
            found = set(scale) | {w for w in there if w.startswith(ABSENT)}
            if len(real) >= 2 and set(real) <= found:
                rank = {word: float(i + 1) for i, word in enumerate(scale)}
                table[f"{name}_rank"] = words.map(lambda w, rank=rank: rank.get(w, 0.0)).astype(float)
                break


def add_counts(table: pd.DataFrame, columns: list[str] | None = None) -> None:
    """How often each category occurs."""
    for name in columns or category_names(table):
        words = as_text(table[name]).fillna("")
        table[f"{name}_count"] = words.map(words.value_counts()).astype(float)


def add_group_statistics(
    table: pd.DataFrame, by: str, columns: list[str], statistics: list[str], difference: bool = True
) -> None:
    """Statistics of numbers over the rows of the same group, and the row's difference to the group's mean."""
    groups = table.groupby(as_text(table[by]).fillna("").to_numpy(), sort=True)
    for name in columns:
        for statistic in statistics:
            made: Any = groups[name].transform
            table[f"{name}_{statistic}_by_{by}"] = made(statistic).astype(float)
        if difference:
            table[f"{name}_above_{by}"] = table[name] - groups[name].transform("mean")


def add_missing(table: pd.DataFrame, columns: list[str] | None = None) -> None:
    """Marks of missing values, and how many a row has."""
    absent = table.isna()
    for name in columns or [str(n) for n in table.columns if 0.005 < absent[n].mean() < 0.995]:
        table[f"{name}_missing"] = absent[name].astype(float)
    table["missing_values"] = absent.sum(axis=1).astype(float)


def add_cross(table: pd.DataFrame, columns: list[str]) -> None:
    """One category made of several."""
    parts = [as_text(table[name]).fillna("?").astype(str) for name in columns]
    joined: Any = parts[0]
    for part in parts[1:]:
        joined = joined + "|" + part
    table["_x_".join(columns)] = joined.astype(object)


def make_categories(table: pd.DataFrame, columns: list[str]) -> None:
    """Number codes become categories."""
    for name in columns:
        table[name] = as_text(table[name])


def add_date_parts(table: pd.DataFrame, column: str, cyclic: bool = False) -> None:
    """Parts of a time that vary; with `cyclic`, sine and cosine of the periodic ones too."""
    moment = pd.to_datetime(table[column], unit="D", errors="coerce")
    for part, period in (
        ("year", 0),
        ("month", 12),
        ("day", 31),
        ("day_of_week", 7),
        ("day_of_year", 365.25),
        ("hour", 24),
    ):
        values = getattr(moment.dt, part).astype(float)
        if values.nunique() > 1:
            table[f"{column}_{part}"] = values
            if cyclic and period:
                table[f"{column}_{part}_sin"] = np.sin(2 * np.pi * values / period)
                table[f"{column}_{part}_cos"] = np.cos(2 * np.pi * values / period)


def drop_columns(table: pd.DataFrame, columns: list[str]) -> None:
    """Leave columns out."""
    for name in columns:
        del table[name]

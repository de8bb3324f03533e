"""Guesses what columns and targets are: numbers, categories, texts or times; regression or classes.

Every guess comes with the words that explain it, so that a person can overrule it. Nothing is read or written here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from gome.events import Column, ColumnKind, TaskKind
from gome.events.metrics import DEFAULT_METRICS, METRICS, metric_name, metrics_for
from gome.kernel.errors import UsageError

MANY_CLASSES = 100
"""More different texts than this are no classes."""
FEW_NUMBERS = 20
"""At most so many different whole numbers may be classes."""
RARE = 5
"""A class needs as many rows, one per fold."""

_DATE = re.compile(r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T ]\d{1,2}:\d{2}.*)?$|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}([T ].*)?$")


def column_kind(series: pd.Series) -> tuple[ColumnKind, str]:
    """Return the kind of a column and a note ("" when there is nothing to say)."""
    if pd.api.types.is_bool_dtype(series):
        return "category", ""
    values = series.dropna()
    if values.empty:
        return "numeric", "always missing"
    if pd.api.types.is_numeric_dtype(series):
        return "numeric", "always the same" if values.nunique() == 1 and len(values) == len(series) else ""
    sample = values.astype(str).head(2000)
    if sample.map(lambda text: bool(_DATE.match(text.strip()))).mean() > 0.95:
        return "time", ""
    words = float(sample.map(lambda text: len(text.split())).mean())
    different = values.nunique()
    if words >= 4 and different > 0.5 * len(values):
        return "text", f"{words:.0f} words on average"
    if different == len(values) and different > 20:
        return "category", "different in every row"
    return "category", "always the same" if different == 1 and len(values) == len(series) else ""


def columns(frame: pd.DataFrame, names: list[str], kinds: dict[str, ColumnKind], notes: dict[str, str]) -> list[Column]:
    """Describe the columns `names`; `kinds` and `notes` (from a person) win over guesses."""
    described = []
    for name in names:
        kind, note = column_kind(frame[name])
        described.append(Column(name, kinds.get(name, kind), notes.get(name, note)))
    return described


@dataclass(frozen=True)
class Aim:
    """What the target asks for: kind, metric name, classes as sorted text, and the reasons for both guesses."""

    kind: TaskKind
    metric: str
    classes: tuple[str, ...]
    why_kind: str
    why_metric: str


def aim(values: pd.Series, target: str, asked: str, kind: TaskKind | None = None) -> Aim:
    """Work out kind and metric from the target's values (no missing ones) and from what was asked for.

    `UsageError` when the target has one value, is no target (all different texts), has classes too rare for folds, or
    when the metric does not fit.
    """
    wanted = _metric(asked)
    numbers = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    different = int(values.nunique())
    if different == 1:
        raise UsageError(
            f"target {target!r} has the one value {values.iloc[0]!s} in all {len(values):,} rows; there is nothing to "
            f"learn: choose another --target or add rows of the other class"
        )
    found, why_kind = (kind, "as given") if kind else _kind(values, numbers, different, wanted)
    if found == "regression" and not numbers:
        example = next(text for text in values.astype(str) if not _is_number(text))
        raise UsageError(
            f"target {target!r} holds texts ({example!r}) but kind or metric asks for numbers; "
            f"metrics for classes are {', '.join(metrics_for('multiclass'))}"
        )
    if wanted and found not in METRICS[wanted].kinds:
        raise UsageError(
            f"metric {wanted} does not fit target {target!r}, which is {found} ({why_kind}); "
            f"metrics that fit are {', '.join(metrics_for(found))}"
        )
    classes = () if found == "regression" else _classes(values, target, found, different)
    minimum = METRICS[wanted].minimum if wanted else None
    if minimum is not None and float(values.min()) < minimum:
        raise UsageError(
            f"metric {wanted} needs a target of at least {minimum:g}, {target!r} goes down to {values.min():g}; "
            f"try --metric rmse"
        )
    if wanted:
        return Aim(found, wanted, classes, why_kind, "as given")
    if found == "regression" and _wide(values):
        return Aim(found, "rmsle", classes, why_kind, "the target is positive, skewed and spans a factor of ten")
    return Aim(found, DEFAULT_METRICS[found], classes, why_kind, f"the usual one for {found}")


def _metric(asked: str) -> str:
    try:
        return metric_name(asked) if asked else ""
    except ValueError as error:
        raise UsageError(str(error)) from error


def _kind(values: pd.Series, numbers: bool, different: int, wanted: str) -> tuple[TaskKind, str]:
    if wanted and METRICS[wanted].kinds == ("regression",) and numbers:
        return "regression", f"metric {wanted} is one for numbers"
    if different == 2:
        return "binary", "two different values"
    if not numbers:
        return "multiclass", f"{different} different texts"
    whole = bool(((values % 1) == 0).all())
    few = different <= FEW_NUMBERS and len(values) >= 10 * different
    if whole and wanted and "regression" not in METRICS[wanted].kinds:
        return "multiclass", f"{different} different whole numbers and a metric for classes"
    if whole and few:
        return "multiclass", f"only {different} different whole numbers (for a number to predict, say --metric rmse)"
    return "regression", f"{different:,} different numbers"


def _wide(values: pd.Series) -> bool:
    """Positive, skewed and over more than a factor of ten: then errors usually count relative to the size."""
    numbers = values.astype(float).to_numpy()
    low, spread = float(numbers.min()), float(numbers.std())
    skew = float((((numbers - numbers.mean()) / spread) ** 3).mean()) if spread else 0.0
    return low > 0 and skew > 1 and float(numbers.max()) > 10 * low


def _classes(values: pd.Series, target: str, kind: TaskKind, different: int) -> tuple[str, ...]:
    if kind == "binary" and different != 2:
        raise UsageError(
            f"target {target!r} is to be binary but has {different} values; say kind multiclass or regression"
        )
    counts = values.astype(str).value_counts()
    if different > MANY_CLASSES or (different > 20 and different > len(values) / 3):
        raise UsageError(
            f"target {target!r} has {different:,} different values in {len(values):,} rows, too many for classes; "
            f"is it an id or a text? Choose another --target"
        )
    rare = counts[counts < RARE]
    if len(rare):
        raise UsageError(
            f"class {rare.index[0]!r} of target {target!r} has {rare.iloc[0]} rows, every class needs {RARE} (one per "
            f"fold); merge or remove rare classes" + (f" ({len(rare)} of {different} are)" if len(rare) > 1 else "")
        )
    return tuple(sorted(counts.index))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

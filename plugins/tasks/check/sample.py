"""The tables that leak checks look at, read once, and as numbers where a model needs them.

Answers are not read: what a check finds may be shown to people, reasoners and programs alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gome.events import Task
from gome.kernel.tasks import PreparedTask
from gome.plugins.tasks.reading import EXACT

Array = npt.NDArray[Any]
MANY = 0.5
"""A text column with more different values than this share of its rows has no order worth coding."""


def read(prepared: PreparedTask) -> Sample:
    """Read train.csv and test.csv of a prepared task."""
    task = prepared.task
    classes = {task.target: str} if task.classes else None
    train = pd.read_csv(prepared.files["train.csv"], low_memory=False, dtype=classes, **EXACT)
    test = pd.read_csv(prepared.files["test.csv"], low_memory=False, **EXACT)
    return Sample(task, train, test)


@dataclass(frozen=True)
class Sample:
    """A task with its tables; `seed` makes what is drawn the same every time."""

    task: Task
    train: pd.DataFrame
    test: pd.DataFrame
    seed: int = field(default=0)

    @cached_property
    def features(self) -> list[str]:
        return [column.name for column in self.task.columns]

    @cached_property
    def target(self) -> Array:
        """Target of the training rows: ranks in [0, 1] for a regression, else class numbers."""
        values = self.train[self.task.target]
        if self.task.kind == "regression":
            return np.asarray(values.rank(pct=True), dtype=float)
        codes = {name: number for number, name in enumerate(self.task.classes)}
        return np.asarray(values.astype(str).map(codes).fillna(-1), dtype=int)

    @cached_property
    def centred(self) -> Array:
        """Target as centred columns: the ranks, or one indicator per class."""
        wide = self.target[:, None] if self.task.kind == "regression" else np.eye(len(self.task.classes))[self.target]
        return np.asarray(wide - wide.mean(axis=0), dtype=float)

    @cached_property
    def numbers(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Features of train and test as numbers: times in seconds, texts as length, categories as codes in sorted
        order; category columns with values different in most rows are left out."""
        both = pd.concat([self.train[self.features], self.test[self.features]], ignore_index=True)
        coded: dict[str, Any] = {}
        for column in self.task.columns:
            values = both[column.name]
            if pd.api.types.is_bool_dtype(values):
                coded[column.name] = values.astype(float)
            elif pd.api.types.is_numeric_dtype(values):
                coded[column.name] = values
            elif column.kind == "time":
                coded[column.name] = moments(values)
            elif column.kind == "text":
                coded[column.name] = values.astype(str).str.len()
            elif values.nunique() <= MANY * len(values):
                coded[column.name] = values.astype("category").cat.codes
        table = pd.DataFrame(coded, index=both.index).astype(float)
        return table.iloc[: len(self.train)], table.iloc[len(self.train) :]

    def draw(self, count: int, most: int, label: int = 0) -> Array:
        """Return at most `most` different row numbers below `count`, in order."""
        if count <= most:
            return np.arange(count)
        rng = np.random.default_rng((self.seed, label))
        return np.sort(rng.choice(count, most, replace=False))


def moments(values: pd.Series) -> pd.Series:
    """Times as seconds (numbers stay as they are, what cannot be read is missing)."""
    if pd.api.types.is_numeric_dtype(values):
        return values.astype(float)
    parsed = pd.to_datetime(values, errors="coerce", utc=True, format="mixed")
    return (parsed - pd.Timestamp("1970-01-01", tz="UTC")).dt.total_seconds()


def names(columns: list[str], most: int = 6) -> str:
    """Column names for a sentence."""
    shown = ", ".join(columns[:most])
    return shown + (f" and {len(columns) - most} more" if len(columns) > most else "")

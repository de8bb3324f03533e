"""Shares of the way, pairs, and the slope that the hypothesis is about."""

from __future__ import annotations

import itertools

import pytest

from gome.plugins.bench.table import Row
from gome.plugins.bench.world.measuring import referenced
from gome.plugins.bench.world.statistic import mean_difference, pairs, qualities, share, slope


def row(search: str, hidden: float | None, **given: object) -> Row:
    """A row of a task where smaller is better, the baseline at 2 and the best known at 1."""
    facts = {"task": "t", "hidden": hidden, "baseline": 2.0, "reference": 1.0, "quality": None, **given}
    return Row(bench="b", cell=f"{search}{hidden}{given}", run="r", search=search, **facts)  # type: ignore[arg-type]


def test_the_share_of_the_way_is_measured_from_the_baseline_whatever_the_metrics_direction() -> None:
    assert share(row("x", 1.5)) == pytest.approx(0.5)
    assert share(row("x", 3.0)) == pytest.approx(-1.0)
    assert share(row("x", None)) == 0.0, "nothing handed in: what the baseline is worth"
    up = row("x", 0.85, baseline=0.8, reference=0.9, greater_is_better=True)
    assert share(up) == pytest.approx(0.5)
    assert share(row("x", 1.5, reference=2.0)) is None


def test_the_best_known_score_is_the_best_of_all_runs_on_the_same_task_and_split() -> None:
    rows = referenced(
        [
            row("x", 1.6, reference=None, best_hidden=1.4),
            row("y", 1.5, reference=None, best_hidden=1.5),
            row("y", 0.1, reference=None, split_seed=3),
        ]
    )
    assert [r.reference for r in rows] == [1.4, 1.4, 0.1]


def test_runs_are_paired_by_task_split_seed_and_factors() -> None:
    rows = [
        row("gradient", 1.2, seed=1),
        row("aide", 1.5, seed=1),
        row("aide", 1.1, seed=2),
        row("gradient", 1.0, seed=1, factors={"strength": 0.5}),
    ]
    found = pairs(rows, "gradient", "aide")
    assert [p.difference for p in found["t"]] == pytest.approx([0.3])
    assert mean_difference(found).value == pytest.approx(0.3)


def test_what_a_level_is_worth_is_measured_within_a_search_at_equal_other_factors() -> None:
    rows = [
        row("x", 1.2, factors={"guard": "on", "memory": "none"}),
        row("x", 1.4, factors={"guard": "off", "memory": "none"}),
        row("x", 1.9, factors={"guard": "off", "memory": "own"}),
        row("y", 1.0, factors={"guard": "on", "memory": "own"}),
    ]
    assert [p.difference for p in pairs(rows, "on", "off", "guard")["t"]] == pytest.approx([0.2])
    assert pairs(rows, "none", "own", "memory")["t"][0].difference == pytest.approx(0.5)


def test_a_difference_that_grows_with_quality_has_a_positive_slope_with_an_interval_around_it() -> None:
    rows = []
    for task, seed, strength in itertools.product("abcd", (1, 2, 3), (0.0, 0.5, 1.0)):
        given = {"task": task, "seed": seed, "factors": {"strength": strength}, "quality": strength}
        rows.append(row("gradient", 2.0 - 0.5 * strength - 0.01 * seed, **given))
        rows.append(row("aide", 2.0 - 0.2, **given))
    found, known = pairs(rows, "gradient", "aide"), qualities(rows)
    estimate = slope(found, known)
    assert estimate.value == pytest.approx(0.5)
    assert estimate.low is not None and estimate.high is not None
    assert 0.4 < estimate.low <= 0.5 <= estimate.high < 0.6
    assert (estimate.pairs, estimate.tasks) == (36, 4)
    assert slope(found, known) == estimate, "the same table gives the same interval"


def test_without_pairs_there_is_no_figure() -> None:
    assert mean_difference({}).value is None
    assert slope(pairs([row("gradient", 1.0)], "gradient", "aide"), {}).value is None

"""The slope of a lead over quality, and what may be said about a crossover in words."""

from __future__ import annotations

import pytest

from gome.plugins.bench.report.crossover import TREES, Crossover, crossover
from gome.plugins.bench.report.factors import effects
from gome.plugins.bench.report.scale import Names, place
from gome.plugins.bench.table import Row
from tests.plugins.bench.report.invented import bench, row

QUALITIES = {0.2: 0.1, 0.6: 0.5, 1.0: 0.9}
"""Measured quality by strength."""


def crossed(rows: list[Row]) -> Crossover:
    cells, _ = place(rows)
    return crossover(cells, Names(c.arm for c in cells))


def led(leads: dict[float, float], wobble: float = 0.01, trees: tuple[str, ...] = ("aide",)) -> list[Row]:
    """Rows in which the gradient leads every tree by that much at each strength, on four tasks, with little noise."""
    found = []
    for number, task in enumerate(("ames", "cells", "credit", "leaf")):
        for strength, lead in leads.items():
            noise = wobble * (1, -1, 2, -2)[number]
            given = {"factors": {"strength": strength}, "quality": QUALITIES[strength]}
            found.append(row("gradient", task, hidden=0.5 - lead - noise, **given))
            found += [row(tree, task, hidden=0.5, **given) for tree in trees]
    return found


def test_the_slope_of_a_line_is_its_slope() -> None:
    found = crossed(led({0.2: -0.2, 0.6: 0.0, 1.0: 0.2}))
    (slope,) = found.slopes
    assert slope.slope.value == pytest.approx(0.5) and slope.slope.side == 1
    assert slope.at_lowest.value == pytest.approx(-0.2) and slope.at_highest.value == pytest.approx(0.2)
    assert slope.crossing is not None and slope.crossing.value == pytest.approx(0.5)
    assert [level.context for level in found.levels] == ["strength 0.2", "strength 0.6", "strength 1"]
    assert [level.quality.mean for level in found.levels] == pytest.approx([0.1, 0.5, 0.9])


@pytest.mark.parametrize(
    ("leads", "wobble", "said"),
    [
        ({0.2: -0.2, 0.6: 0.0, 1.0: 0.2}, 0.01, "grows with quality; they cross at a quality of about 0.50"),
        (
            {0.2: 0.1, 0.6: 0.2, 1.0: 0.3},
            0.01,
            "grows with quality; no crossover in the range: gradient is ahead throughout",
        ),
        (
            {0.2: -0.3, 0.6: -0.3, 1.0: -0.3},
            0.01,
            "not told apart from chance; no crossover in the range: gradient is behind",
        ),
        (
            {0.2: 0.2, 0.6: 0.0, 1.0: -0.2},
            0.01,
            "shrinks with quality, against the hypothesis; they cross the other way",
        ),
        (
            {0.2: -0.05, 0.6: 0.0, 1.0: 0.3},
            0.2,
            "no crossover in the range: they are not told apart at either end",
        ),
    ],
)
def test_the_verdict_says_no_more_than_the_intervals(leads: dict[float, float], wobble: float, said: str) -> None:
    (slope,) = crossed(led(leads, wobble)).slopes
    assert said in slope.verdict
    assert (slope.crossing is not None) == ("cross at" in slope.verdict)


def test_a_sign_that_changes_within_the_noise_is_no_crossover() -> None:
    (slope,) = crossed(led({0.2: -0.02, 0.6: 0.0, 1.0: 0.02}, 0.1)).slopes
    assert slope.at_lowest.value < 0 < slope.at_highest.value and slope.crossing is None


def test_the_mean_of_the_tree_searches_leaves_out_what_is_no_tree() -> None:
    rows = led({0.2: -0.1, 1.0: 0.1}, trees=("aide", "mlmaster"))
    rows += led({0.2: 0.4, 1.0: 0.4}, trees=("random",))[1::2]
    found = {s.other: s for s in crossed(rows).slopes}
    assert set(found) == {"aide", "mlmaster", "random", TREES}
    assert found[TREES].slope.value == pytest.approx(0.25)


def test_what_cannot_be_said_is_said_why() -> None:
    assert "one search only" in crossed([row()]).missing
    assert "quality of no reasoner" in crossed([row(), row("aide")]).missing
    one = [row(s, quality=0.5) for s in ("gradient", "aide")]
    assert "quality of one reasoner" in crossed(one).missing


def test_a_quality_that_is_not_told_apart_is_a_doubt_about_every_slope() -> None:
    def rows(*gains: float) -> list[Row]:
        return [
            row(s, task, factors={"strength": x}, quality=q + gain * x, hidden=0.5 - 0.1 * x * (s == "gradient"))
            for task, q, gain in zip(("ames", "leaf", "cells"), (-0.4, 0.0, 0.5), gains, strict=True)
            for s in ("gradient", "aide")
            for x in (0.0, 1.0)
        ]

    # What differs between tasks is in both and takes nothing away; what differs between levels does.
    assert crossed(rows(0.2, 0.2, 0.2)).doubt == ""
    assert "in measured quality (0.20 [-0.40, 0.50])" in crossed(rows(-0.4, 0.5, 0.5)).doubt


def test_levels_of_equal_quality_have_no_slope() -> None:
    rows = [row(s, factors={"strength": x}, quality=0.5) for s in ("gradient", "aide") for x in (0.2, 1.0)]
    assert not crossed(rows).slopes and len(crossed(rows).levels) == 2


def test_models_stand_on_the_same_axis_as_strengths() -> None:
    rows = [
        row(s, model=m, quality=q, hidden=0.5)
        for s in ("gradient", "aide")
        for m, q in (("small", 0.1), ("large", 0.8))
    ]
    assert [level.context for level in crossed(rows).levels] == ["small", "large"]


def test_a_bench_whose_lead_was_made_to_grow_is_found_to_cross() -> None:
    trees = next(s for s in crossed(bench()).slopes if s.other == TREES)
    assert trees.slope.side == 1 and trees.crossing is not None and 0.1 < trees.crossing.value < 0.6


def factorial(task: str = "ames", bonus: float = 0.0) -> list[Row]:
    """Policy worth .1, guard .2, memory nothing; the guard is worth `bonus` more under the gradient."""
    found = []
    for search in ("gradient", "aide"):
        for guard in ("on", "off"):
            for memory in ("none", "own"):
                lead = 0.1 * (search == "gradient") + (0.2 + bonus * (search == "gradient")) * (guard == "on")
                found.append(row(search, task, hidden=0.9 - lead, factors={"guard": guard, "memory": memory}))
    return found


def test_main_effects_of_a_factorial_are_those_that_it_was_made_with() -> None:
    cells, _ = place([*factorial(), *factorial("leaf", bonus=0.1)])
    found = {(e.kind, e.factor, e.policy): e for e in effects(cells, Names(c.arm for c in cells))}
    policy = found["main", "policy", ""]
    assert (policy.level, policy.against, policy.pairs) == ("gradient", "aide", 8)
    assert policy.difference.mean == pytest.approx(0.1 + 0.1 / 4)
    guard = found["main", "guard", ""]
    assert (guard.level, guard.against) == ("on", "off") and guard.difference.mean == pytest.approx(0.2 + 0.1 / 4)
    assert found["main", "memory", ""].difference.mean == pytest.approx(0.0)
    assert found["within", "guard", "aide"].difference.mean == pytest.approx(0.2)
    assert found["within", "guard", "gradient"].difference.mean == pytest.approx(0.25)
    assert found["interaction", "guard", "aide"].difference.mean == pytest.approx(0.05)


def test_numbers_are_held_against_the_smallest_and_presence_against_absence() -> None:
    rows = [row(factors={"strength": x, "memory": m}) for x in (10.0, 2.0) for m in ("shared", "none")]
    cells, _ = place(rows)
    found = {e.factor: (e.level, e.against) for e in effects(cells, Names(c.arm for c in cells))}
    assert found == {"strength": ("10", "2"), "memory": ("shared", "none")}


def test_what_one_search_alone_ran_makes_no_policy_effect() -> None:
    cells, _ = place([row(factors={"guard": "on"}), row("aide", factors={"guard": "off"})])
    assert effects(cells, Names(c.arm for c in cells)) == []

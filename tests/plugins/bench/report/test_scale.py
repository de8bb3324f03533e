"""One scale for all tasks: 0 the default LightGBM, 1 the best known; failing never pays; names say what differs."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gome.plugins.bench.report.bootstrap import estimate
from gome.plugins.bench.report.results import shares
from gome.plugins.bench.report.scale import Names, place, promoted, reference_policy
from tests.plugins.bench.report.invented import bench, row


def test_less_is_better_or_more_is_better_the_way_is_the_same() -> None:
    down = row(hidden=0.11, baseline=0.14, reference=0.10, metric="rmsle")
    up = row(task="credit", hidden=0.81, baseline=0.75, reference=0.83, metric="auc", greater_is_better=True)
    cells, scales = place([down, up])
    assert [c.share for c in cells] == pytest.approx([0.75, 0.75])
    assert [(s.best_by, s.gap) for s in scales] == [
        ("reference", pytest.approx(0.04)),
        ("reference", pytest.approx(0.08)),
    ]
    assert [c.score for c in cells] == [-0.11, 0.81]


def test_the_best_known_is_the_best_of_the_table_where_it_beats_the_reference() -> None:
    cells, (scale,) = place([row(hidden=-1.0), row("aide", hidden=0.0), row("random", hidden=0.5)])
    assert (scale.best, scale.best_by) == (-1.0, "gradient")
    assert {c.arm.search: c.share for c in cells} == {"aide": 0.5, "gradient": 1.0, "random": 0.25}


def test_a_share_may_be_negative_and_is_shown_as_it_is() -> None:
    (cell,), _ = place([row(hidden=3.0)])
    assert cell.share == -2.0


def test_who_hands_in_nothing_gets_the_worst_of_the_block_and_never_more_than_nought() -> None:
    good = [row(), row("aide", hidden=None, outcome="failed")]
    cells, _ = place([*good, row(seed=1, hidden=2.0), row("aide", seed=1, hidden=None, outcome="failed")])
    assert {(c.arm.search, c.block[2]): c.share for c in cells if not c.finished} == {
        ("aide", 0): 0.0,
        ("aide", 1): -1.0,
    }


def test_a_split_that_nobody_improved_has_no_scale() -> None:
    cells, (scale,) = place([row(hidden=1.0, reference=1.2), row("aide", hidden=None, reference=1.2)])
    assert scale.gap is None and [c.share for c in cells] == [None, None]
    cells, (scale,) = place([row(baseline=None)])
    assert scale.gap is None and cells[0].share is None and cells[0].finished


def test_a_run_that_never_began_does_not_turn_the_metric_round() -> None:
    lost = row("aide", hidden=None, baseline=None, reference=None, metric="", outcome="lost")
    good = row(hidden=0.8, baseline=0.7, reference=0.9, metric="auc", greater_is_better=True)
    cells, (scale,) = place([lost, good])
    assert scale.greater_is_better and {c.arm.search: c.share for c in cells} == {
        "aide": 0.0,
        "gradient": pytest.approx(0.5),
    }


def test_splits_have_scales_of_their_own() -> None:
    cells, scales = place([row(split_seed=1, hidden=0.5), row(split_seed=2, hidden=0.5, baseline=0.6, reference=0.4)])
    assert len(scales) == 2 and [c.share for c in cells] == pytest.approx([0.5, 0.5])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 23))
def test_failing_never_pays_for_who_would_have_been_better_than_the_default(seed: int, at: int) -> None:
    random_ = random.Random(seed)
    rows = [
        row(search, task, seed, hidden=random_.gauss(0.7, 0.6), reference=-9.0)
        for search in ("gradient", "aide")
        for task in ("ames", "leaf", "cells")
        for seed in range(4)
    ]
    failed = rows[at]
    assume(failed.hidden is not None and failed.hidden <= 1.0)
    worse = [*rows[:at], row(failed.search, failed.task, failed.seed, hidden=None, reference=-9.0), *rows[at + 1 :]]

    def mean(found: list) -> float:  # type: ignore[type-arg]
        cells, _ = place(found)
        return estimate(shares([c for c in cells if c.arm.search == failed.search]), draws=1).mean or 0.0

    assert mean(worse) <= mean(rows) + 1e-12


def test_cells_come_in_one_order_whatever_the_order_of_rows() -> None:
    rows = bench(strengths=(0.5,))
    shuffled = random.Random(1).sample(rows, len(rows))
    assert place(rows) == place(shuffled)


def test_names_say_what_differs_and_no_more() -> None:
    plain, _ = place([row(), row("aide")])
    assert [Names(c.arm for c in plain).arm(c.arm) for c in plain] == ["aide", "gradient"]
    varied, _ = place(
        [
            row(model="small", factors={"guard": "on", "memory": "own"}),
            row(model="large", factors={"guard": "off", "memory": "own"}),
            row("aide", model="large", profile="released"),
            row("aide", model="large", profile="repaired"),
        ]
    )
    names = Names(c.arm for c in varied)
    assert {names.arm(c.arm) for c in varied} == {
        "gradient · small, guard on, memory own",
        "gradient · large, guard off, memory own",
        "aide (released) · large",
        "aide (repaired) · large",
    }


def test_the_gradient_is_what_others_are_compared_with_where_it_was_run() -> None:
    def lead(*searches: str) -> str:
        cells, _ = place([row(s) for s in searches])
        return reference_policy(Names(c.arm for c in cells))[0]

    assert lead("aide", "gradient", "random") == "gradient" and lead("mlmaster", "aide") == "aide"


def test_levels_of_a_factor_stand_beside_the_search_that_one_of_them_is_called_like() -> None:
    arms = ("gradient", "no-memory", "single-trace")
    rows = promoted([row(suite="parts", factors={"arm": arm, "strength": 1.0}) for arm in arms])
    assert [(r.search, r.factors) for r in rows] == [(arm, {"strength": 1.0}) for arm in arms]
    names = Names(c.arm for c in place(rows)[0])
    assert list(names.policies.values()) == ["gradient", "no-memory", "single-trace"]


def test_levels_that_are_called_otherwise_or_belong_to_several_searches_stay_factors() -> None:
    plain = [row(suite="s", factors={"guard": "on"}), row(suite="s", factors={"guard": "off"})]
    assert promoted(plain) == plain
    several = [row(s, suite="s", factors={"arm": arm}) for s in ("gradient", "aide") for arm in ("gradient", "bare")]
    assert promoted(several) == several
    beside = promoted([*several, row(suite="parts", factors={"arm": "gradient"})])
    assert [r.factors for r in beside] == [*(r.factors for r in several), {}]

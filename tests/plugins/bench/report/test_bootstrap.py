"""Means over tasks of splits of seeds, and intervals of the same shape, against examples computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gome.plugins.bench.report.bootstrap import Estimate, centre, estimate, nested, resampled

ONE_TASK = [("a", 1, 1.0), ("a", 1, 3.0), ("a", 2, 10.0)]


def test_every_task_weighs_the_same_however_many_runs_it_has() -> None:
    found = estimate([*ONE_TASK, ("b", 1, 0.0)])
    # a: split 1 is 2, split 2 is 10, so 6; b is 0.
    assert found.mean == 3.0 and (found.tasks, found.runs) == (2, 4)
    assert found.sem == pytest.approx(math.sqrt(((6 - 3) ** 2 + (0 - 3) ** 2) / 1) / math.sqrt(2))
    assert found.over == "tasks"


def test_with_one_task_the_error_is_over_its_splits_and_with_one_split_over_its_seeds() -> None:
    splits = estimate(ONE_TASK)
    assert splits.over == "splits" and splits.sem == pytest.approx(4.0)
    seeds = estimate(ONE_TASK[:2])
    assert seeds.over == "seeds" and seeds.mean == 2.0 and seeds.sem == pytest.approx(1.0)


def test_a_single_run_has_no_error_and_no_interval() -> None:
    assert estimate([("a", 1, 5.0)]) == Estimate(5.0, None, None, None, 1, 1, "")
    assert estimate([]) == Estimate()


def test_equal_values_leave_nothing_to_be_unsure_of() -> None:
    found = estimate([(task, split, 0.25) for task in "abc" for split in (1, 2) for _ in range(3)])
    assert (found.mean, found.sem, found.low, found.high) == (0.25, 0.0, 0.25, 0.25)


def test_draws_of_one_level_spread_as_those_of_scipy_do() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(3).normal(size=25)
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=5_000, rng=1).confidence_interval
    ours = estimate([(f"t{n:02}", 0, v) for n, v in enumerate(values)], draws=5_000)
    assert ours.low == pytest.approx(theirs.low, abs=0.03) and ours.high == pytest.approx(theirs.high, abs=0.03)


def test_the_spread_of_draws_is_the_sum_of_what_each_level_adds() -> None:
    # Two tasks of two splits of two seeds: the variance of a mean of n resampled values is their variance over n.
    tree = nested(
        [(t, s, {"a": 0.0, "b": 8.0}[t] + {1: 0.0, 2: 4.0}[s] + v) for t in "ab" for s in (1, 2) for v in (0.0, 2.0)]
    )
    draws = resampled(tree, 60_000)[:, 0]
    assert draws.mean() == pytest.approx(centre(tree)[0], abs=0.05)
    assert draws.var() == pytest.approx(16 / 2 + 4 / 4 + 1 / 8, rel=0.03)


def test_what_was_not_measured_is_left_out_of_the_mean_of_its_component() -> None:
    tree = nested(
        [("a", 1, np.array([1.0, np.nan])), ("a", 1, np.array([3.0, 5.0])), ("b", 1, np.array([4.0, np.nan]))]
    )
    assert centre(tree).tolist() == [3.0, 5.0]
    assert np.isnan(resampled(tree, 200)[:, 1]).any()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2), st.floats(-100, 100)), min_size=2, max_size=12),
    st.floats(-50, 50),
)
def test_an_interval_holds_its_mean_and_moves_with_the_values(values: list[tuple[str, int, float]], by: float) -> None:
    found = estimate(values, draws=300)
    moved = estimate([(t, s, v + by) for t, s, v in values], draws=300)
    assert found.mean is not None and moved.mean == pytest.approx(found.mean + by, abs=1e-9)
    if found.low is not None and found.high is not None and moved.low is not None:
        assert moved.low == pytest.approx(found.low + by, abs=1e-9)
        least, most = min(v for *_, v in values), max(v for *_, v in values)
        assert least - 1e-9 <= found.low <= found.high <= most + 1e-9


def test_the_same_values_give_the_same_bounds() -> None:
    values = [(t, s, float(n)) for n, (t, s) in enumerate([("a", 1), ("a", 2), ("b", 1), ("c", 1)])]
    assert estimate(values) == estimate(values)


@pytest.mark.parametrize(("low", "high", "sign"), [(0.1, 0.2, 1), (-0.2, -0.1, -1), (-0.1, 0.1, 0), (None, None, 0)])
def test_an_estimate_has_a_sign_only_where_its_whole_interval_has(
    low: float | None, high: float | None, sign: int
) -> None:
    assert Estimate(0.15, 0.1, low, high).sign == sign


@pytest.mark.slow
@pytest.mark.parametrize(("tasks", "held"), [(3, 0.80), (6, 0.89), (12, 0.92)])
def test_intervals_hold_the_truth_as_often_as_is_said(tasks: int, held: float) -> None:
    rng = np.random.default_rng(1)

    def bench() -> list[tuple[str, int, float]]:
        drawn = []
        for task in range(tasks):
            own = rng.normal()
            for split in (1, 2):
                there = own + rng.normal(0, 0.7)
                drawn += [(f"t{task}", split, there + rng.normal(0, 0.5)) for _ in range(2)]
        return drawn

    found = [estimate(bench(), draws=400) for _ in range(400)]
    assert np.mean([e.low is not None and e.high is not None and e.low <= 0 <= e.high for e in found]) == pytest.approx(
        held, abs=0.05
    )

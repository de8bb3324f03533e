"""Curves against budget currencies, areas under them, what choosing and running cost: examples computed by hand."""

from __future__ import annotations

import pytest

from gome.plugins.bench.report.anytime import STEPS, Curve, anytime, task_curves, walk
from gome.plugins.bench.report.cost import costs, unequal
from gome.plugins.bench.report.scale import Names, place
from gome.plugins.bench.report.selection import selection
from gome.plugins.bench.table import Point, Row
from tests.plugins.bench.report.invented import row


def steps(*points: tuple[float, float | None], currency: str = "seconds") -> tuple[Point, ...]:
    """Points at which so much was spent and the best had that hidden score; validation promises a tenth more."""
    return tuple(
        Point(attempt=f"a{n}", hidden_of_best=h, validation_best=None if h is None else h - 0.1, **{currency: spent})
        for n, (spent, h) in enumerate(points, 1)
    )


def curves(*rows: Row) -> dict[tuple[str, str], Curve]:
    cells, scales = place(rows)
    return {(c.currency, c.policy): c for c in anytime(cells, scales, Names(c.arm for c in cells))}


def test_a_run_stands_at_nought_then_at_its_best_then_at_what_it_handed_in() -> None:
    (cell,), (scale,) = place([row(hidden=0.6, seconds=10.0, curve=steps((2, 0.8), (5, 0.5)))])
    walked = walk(cell, scale, "seconds")
    assert walked is not None
    assert walked.spent == (2.0, 5.0, 10.0) and walked.shares == pytest.approx((0.2, 0.5, 0.4))
    # 0 for two seconds, .2 for three, .5 for five; what is handed in at the end holds for no time.
    assert walked.area(10.0) == pytest.approx((3 * 0.2 + 5 * 0.5) / 10)
    # A budget of twice as much is spent at what was handed in.
    assert walked.area(20.0) == pytest.approx((3 * 0.2 + 5 * 0.5 + 10 * 0.4) / 20)


def test_a_first_attempt_worse_than_the_default_is_shown_below_nought() -> None:
    (cell,), (scale,) = place([row(hidden=0.5, seconds=4.0, curve=steps((1, 1.5)))])
    walked = walk(cell, scale, "seconds")
    assert walked is not None and walked.area(4.0) == pytest.approx(-0.5 * 3 / 4)


def test_the_budget_of_a_task_is_the_most_that_anybody_spent_on_it() -> None:
    found = curves(row(hidden=0.5, seconds=5.0), row("aide", hidden=0.0, seconds=10.0))
    assert found["seconds", "gradient"].area.mean == pytest.approx(0.25)
    assert found["seconds", "aide"].area.mean == 0.0
    assert found["seconds", "gradient"].spent[-1] == 10.0 and len(found["seconds", "gradient"].spent) == STEPS + 1
    assert found["seconds", "aide"].mean[-1] == 1.0 and found["seconds", "aide"].mean[-2] == 0.0


def test_a_currency_that_nobody_used_has_no_curve_and_unknown_prices_are_counted() -> None:
    found = curves(row(seconds=3.0, money=2.0), row(seed=1, seconds=3.0, money=None))
    assert {c for c, _ in found} == {"seconds", "money"}
    assert found["money", "gradient"].left_out == 1 and found["seconds", "gradient"].left_out == 0


def test_the_curve_of_a_task_is_in_its_own_units_and_waits_for_every_run() -> None:
    rows = [row(seconds=4.0, curve=steps((1, 0.8), (3, 0.6))), row(seed=1, seconds=4.0, curve=steps((2, 0.4)))]
    cells, _ = place(rows)
    (found,) = task_curves(cells, Names(c.arm for c in cells))
    at = dict(zip(found.spent, found.hidden, strict=True))
    assert at[1.5] is None and at[2.0] == pytest.approx(0.6) and at[4.0] == pytest.approx(0.5)
    assert found.validation[-1] == pytest.approx(0.4)


def test_selection_costs_the_way_from_the_best_attempt_to_what_was_handed_in() -> None:
    rows = [row(hidden=0.5, best_hidden=0.3, validation=0.4), row(seed=1, hidden=0.6, best_hidden=0.6, validation=0.7)]
    cells, scales = place([*rows, row(seed=2, hidden=None)])
    (found,) = selection(cells, scales, Names(c.arm for c in cells))
    assert found.runs == 2 and found.loss.mean == pytest.approx(0.1) and found.best_share.mean == pytest.approx(0.55)
    assert found.hit.mean == 0.5 and found.promised.mean == pytest.approx(0.0)


def test_a_selection_that_averages_may_beat_every_attempt_and_loses_nothing() -> None:
    cells, scales = place([row(hidden=0.3, best_hidden=0.4)])
    (found,) = selection(cells, scales, Names(c.arm for c in cells))
    assert found.loss.mean == 0.0 and found.hit.mean == 1.0


def test_costs_count_failed_runs_and_leave_unknown_prices_out() -> None:
    rows = [row(seconds=10.0, money=1.0, accepted=2), row(seed=1, seconds=30.0, money=None, hidden=None)]
    cells, _ = place([*rows, row("aide", seconds=5.0, money=0.0)])
    aide, gradient = costs(cells, Names(c.arm for c in cells))
    assert gradient.mean["seconds"] == 20.0 and gradient.total["seconds"] == 40.0 and gradient.runs == 2
    assert gradient.mean["money"] == 1.0 and gradient.unpriced == 1 and gradient.accepted == 1.0
    assert aide.mean["money"] == 0.0 and unequal([aide, gradient]) == {"seconds": 4.0}

"""Policies against each other block by block: differences, wins, ties and losses as counted by hand."""

from __future__ import annotations

import pytest

from gome.plugins.bench.report.paired import Paired, paired
from gome.plugins.bench.report.scale import Names, place
from gome.plugins.bench.table import Row
from tests.plugins.bench.report.invented import row


def compared(*rows: Row) -> dict[tuple[str, str, str], Paired]:
    cells, _ = place(rows)
    return {(p.context, p.one, p.other): p for p in paired(cells, Names(c.arm for c in cells))}


def test_differences_are_paired_by_task_split_and_seed() -> None:
    rows = [row(seed=s, hidden=h) for s, h in ((0, 0.2), (1, 0.6), (2, 0.4))]
    rows += [row("aide", seed=s, hidden=h) for s, h in ((0, 0.3), (1, 0.4), (3, 0.1))]
    (found,) = compared(*rows).values()
    assert (found.one, found.other, found.blocks, found.unpaired) == ("gradient", "aide", 2, 2)
    # Less is better here: +0.1 and -0.2 of the way.
    assert found.difference.mean == pytest.approx(-0.05) and found.difference.over == "seeds"
    assert (found.wins, found.ties, found.losses, found.win_rate.mean) == (1, 0, 1, 0.5)


def test_a_task_with_many_seeds_does_not_outweigh_one_with_few() -> None:
    many = [row(s, seed=n, hidden=h) for n in range(5) for s, h in (("gradient", 0.4), ("aide", 0.5))]
    few = [row(s, "leaf", hidden=h) for s, h in (("gradient", 0.9), ("aide", 0.5))]
    (found,) = compared(*many, *few).values()
    assert found.difference.mean == pytest.approx((0.1 - 0.4) / 2)
    assert found.by_task == {"ames": pytest.approx(0.1), "leaf": pytest.approx(-0.4)}
    assert (found.wins, found.losses) == (5, 1) and found.win_rate.mean == 0.5


def test_who_hands_in_nothing_loses_and_two_of_them_tie() -> None:
    nothing = {"hidden": None, "outcome": "failed"}
    rows = [row(), row("aide", **nothing), row(seed=1, **nothing), row("aide", seed=1, **nothing)]
    (found,) = compared(*rows).values()
    assert (found.wins, found.ties, found.losses) == (1, 1, 0) and found.win_rate.mean == 0.75
    assert found.difference.mean == pytest.approx(0.25)


def test_wins_count_where_there_is_no_scale() -> None:
    (found,) = compared(row(hidden=1.1, reference=1.5), row("aide", hidden=1.2, reference=1.5)).values()
    assert found.difference.mean is None and (found.wins, found.losses) == (1, 0)


def test_more_is_better_where_the_metric_says_so() -> None:
    auc = {"metric": "auc", "greater_is_better": True, "baseline": 0.5, "reference": 0.9}
    (found,) = compared(row(hidden=0.8, **auc), row("aide", hidden=0.7, **auc)).values()
    assert found.wins == 1 and found.difference.mean == pytest.approx(0.25)


def test_equal_scores_tie() -> None:
    (found,) = compared(row(hidden=0.3), row("aide", hidden=0.1 + 0.2)).values()
    assert found.ties == 1 and found.win_rate.mean == 0.5


def test_policies_meet_within_a_context_only_and_over_all_of_them() -> None:
    weak, strong = {"factors": {"strength": 0.2}}, {"factors": {"strength": 1.0}}
    rows = [
        row(hidden=0.5, **weak),
        row("aide", hidden=0.4, **weak),
        row(hidden=0.1, **strong),
        row("aide", hidden=0.4, **strong),
    ]
    found = compared(*rows, row("random", hidden=0.9, **weak))
    assert found["strength 0.2", "gradient", "aide"].difference.mean == pytest.approx(-0.1)
    assert found["strength 1", "gradient", "aide"].difference.mean == pytest.approx(0.3)
    assert found["", "gradient", "aide"].difference.mean == pytest.approx(0.1)
    assert found["", "gradient", "aide"].blocks == 2 and ("strength 1", "aide", "random") not in found


def test_profiles_of_one_search_are_compared_too() -> None:
    found = compared(row("aide", profile="released", hidden=0.5), row("aide", profile="repaired", hidden=0.4))
    assert found["", "aide (released)", "aide (repaired)"].losses == 1

"""Mixing and ranking: the published table exactly, the lottery's tickets, ties drawn by the run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.events import Draw, Hypothesis, Scores
from gome.plugins.reasoner.gome.mixing import KEPT, Idea, best, by_scores, choose, kinds, lottery, multiplier, total

counts = st.integers(0, 60)
scores = st.builds(Scores, *(st.integers(1, 10).map(float) for _ in range(5)))
ideas = st.lists(
    st.builds(lambda s, label: (s, label), scores, st.sampled_from(["scenario", "feedback"])), min_size=1, max_size=9
).map(
    lambda found: [
        Idea(Hypothesis("s", "model", problem=f"c{i}", scores=s), label) for i, (s, label) in enumerate(found)
    ]
)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("accepted", "others", "m"),
    [(0, 0, 3), (1, 0, 3), (2, 0, 3), (1, 2, 3), (0, 3, 3), (0, 4, 2), (3, 0, 2), (2, 4, 2), (4, 1, 2), (4, 2, 1),
     (4, 5, 1), (4, 6, 0), (8, 0, 0), (0, 12, 0), (0, 11, 1)],
)  # fmt: skip
def test_the_multiplier_is_the_published_one(accepted: int, others: int, m: int) -> None:
    assert multiplier(accepted, others) == m


@given(counts, counts)
def test_challenges_come_from_the_scenario_first_from_both_then_from_feedback_only(accepted: int, others: int) -> None:
    n = (3 * accepted + 2 * others) // 2
    asked = kinds(multiplier(accepted, others))
    assert asked == (("scenario",) if n < 4 else ("scenario", "feedback") if n < 12 else ("feedback",))


@given(counts, counts)
def test_experience_never_brings_the_scenario_back(accepted: int, others: int) -> None:
    m = multiplier(accepted, others)
    assert 0 <= multiplier(accepted + 1, others) <= m and 0 <= multiplier(accepted, others + 1) <= m


@given(ideas, st.integers(0, 99))
def test_robust_takes_the_best_weighted_total_and_lists_all_in_order(found: list[Idea], seed: int) -> None:
    ordered = by_scores(found)
    totals = [total(i) for i in ordered]
    assert totals == sorted(totals, reverse=True) and len(ordered) == len(found)
    assert total(choose(found, "robust", 2, Draw(seed, "e"))) == totals[0]
    assert by_scores(list(reversed(found))) == ordered, "the order in which they were named does not matter"


def test_ties_are_broken_by_the_runs_own_draw() -> None:
    tied = [Idea(Hypothesis("s", "model", problem=f"c{i}")) for i in range(3)]
    worse = Idea(Hypothesis("s", "model", problem="a", scores=Scores(impact=4.0)))
    taken = {best([*tied, worse], Draw(seed, "e")).hypothesis.problem for seed in range(60)}
    assert taken == {"c0", "c1", "c2"}
    assert best(tied, Draw(4, "e")) == best(list(reversed(tied)), Draw(4, "e"))


@given(ideas, st.integers(0, 3))
def test_the_published_lottery_draws_among_the_best_five_whose_kind_has_tickets(found: list[Idea], m: int) -> None:
    kept = by_scores(found)[:KEPT]
    chosen = lottery(found, m)
    assert chosen in kept
    with_tickets = [i for i in kept if (m if i.label == "scenario" else 3 - m)]
    assert not with_tickets or chosen in with_tickets
    assert lottery(list(reversed(found)), m) == chosen, "the order in which they were named does not matter"


def test_the_lottery_favours_the_kind_with_more_tickets_over_many_score_tables() -> None:
    drawn = {"scenario": 0, "feedback": 0}
    for salt in range(300):
        pair = [
            Idea(Hypothesis("s", "model", problem=f"a{salt}", scores=Scores(impact=6.0)), "scenario"),
            Idea(Hypothesis("s", "model", problem=f"b{salt}", scores=Scores(impact=7.0)), "feedback"),
        ]
        drawn[lottery(pair, 2).label] += 1
    assert 160 < drawn["scenario"] < 240, "two tickets of three, although its score is lower"

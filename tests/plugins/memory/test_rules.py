"""What is drawn from the kernel's weights: the published rule with all its habits, the robust one with none of them."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from gome.events import AttemptRejected, Draw, Payload, StepPlanned
from gome.plugins.memory.kernel.rules import first_two, mean, path, published_gains, without_replacement
from tests.plugins.memory.stories import IDEAS, folded, remember, story

UNIFORM = [[0.1] * 10] * 4


def kept(index: int) -> float:
    """The probability that the published rule keeps one of ten equal memories for four candidates, by counting."""
    drawn = 1 - (8 / 10) ** 4
    if index < 2:
        return drawn
    # The memory is drawn, and of those before it at most one: 4 candidates draw 2 of 10 each.
    total = 0.0
    for before in range(2):  # how many of the `index` older ones are in the union
        for some in range(before + 1):  # inclusion and exclusion over subsets of the allowed ones
            sign = (-1) ** (before - some)
            ways = math.comb(index, before) * math.comb(before, some)
            allowed = 10 - index + some
            with_it, without = math.comb(allowed, 2) / 45, math.comb(allowed - 1, 2) / 45
            total += sign * ways * (with_it**4 - without**4)
    return total


def test_of_ten_equal_memories_the_published_rule_keeps_the_oldest() -> None:
    rounds = 4000
    seen = Counter(i for s in range(rounds) for i in first_two(UNIFORM, Draw(s, "e")))
    shares = [seen[i] / rounds for i in range(10)]
    assert shares[:4] == pytest.approx([0.59, 0.59, 0.42, 0.24], abs=0.03)
    assert shares[6:] == pytest.approx([kept(i) for i in range(6, 10)], abs=0.01)
    # Exactly: what is published to two digits, and the bound that a simulation can only come near to.
    assert [round(kept(i), 2) for i in range(4)] == [0.59, 0.59, 0.42, 0.24]
    assert all(round(kept(i), 3) <= 0.012 for i in range(6, 10)), [kept(i) for i in range(6, 10)]


def test_the_robust_rule_keeps_each_of_ten_equal_memories_equally_often() -> None:
    rounds = 3000
    weights = mean(UNIFORM)
    seen = Counter(i for s in range(rounds) for i in without_replacement(weights, 2, Draw(s, "e"), "x"))
    assert [seen[i] / rounds for i in range(10)] == pytest.approx([0.2] * 10, abs=0.03)


def test_draws_follow_the_weights_without_repeating() -> None:
    first = [without_replacement([0.6, 0.3, 0.1], 2, Draw(s, "e"), "x") for s in range(2000)]
    assert all(len(set(pair)) == 2 for pair in first)
    assert sum(pair[0] == 0 for pair in first) / len(first) == pytest.approx(0.6, abs=0.04)


def test_every_candidate_takes_part_in_the_mean() -> None:
    assert mean([[0.8, 0.2], [0.0, 1.0]]) == pytest.approx([0.4, 0.6])


@pytest.mark.parametrize("greater", [True, False])
def test_a_published_gain_is_the_difference_to_the_paths_best_score_rounded_to_three_digits(greater: bool) -> None:
    sign = 1 if greater else -1
    gains = published_gains([0.9 * sign, 0.7 * sign], [0.6 * sign, 0.80049 * sign], greater)
    assert gains == pytest.approx([0.1, -0.1])


def test_a_published_gain_is_off_without_a_score_and_where_the_best_score_is_the_number_that_means_none() -> None:
    assert published_gains([0.9, 0.7], [], True) == [0.0, 0.0]
    assert published_gains([0.9, 0.7], [-1.0004], True) == [0.0, 0.0], "the published collision"
    assert published_gains([0.9, 0.7], [-1.001], True) != [0.0, 0.0]


@pytest.mark.parametrize(
    ("rule", "start", "forgets"), [("published", -2.5, True), ("published", -2.6, False), ("robust", -2.5, False)]
)
def test_a_best_score_of_minus_one_counts_as_none_in_the_published_rule_only(
    rule: str, start: float, forgets: bool
) -> None:
    # The path to a2 ends at −1.000 (−1.100 in the second case); trace 1 goes on to 0 and 4.
    outcomes = [(0, True, 0.5), (0, True, 1.0), (1, True, 1.0), (1, True, 4.0)]
    said = story(outcomes, score=start, greater=True, rule=rule)
    found = [remember(said, 0, "", parent="a2", seed=s).recollections for s in range(8)]
    weight = {r.attempt: r.weight for shown in found for r in shown}
    assert (weight["a4"] == pytest.approx(weight["a2"])) == forgets, weight


def test_the_published_rule_shows_the_best_and_the_oldest_draws_with_scores_of_three_digits() -> None:
    said = story([(0, True, 0.10004)] * 6, rule="published")
    seen = [remember(said, seed=s, queries=IDEAS, limit=12).recollections for s in range(30)]
    assert all(shown[0].attempt == "a6" and len(shown) <= 3 for shown in seen)
    assert all([r.attempt for r in shown[1:]] == sorted(r.attempt for r in shown[1:]) for shown in seen)
    assert seen[0][0].score == 0.4, "1 − 6 · 0.10004 to three digits"


def test_the_published_rule_tells_of_no_failure() -> None:
    said = story([(0, True, 0.1), (0, False, 0.2), (0, False, 0.3)], rule="published")
    assert {r.attempt for r in remember(said, limit=12).recollections} == {"a1"}


def test_each_candidate_interacts_with_every_memory() -> None:
    said = story([(0, True, 0.1)] * 4, rule="robust")
    one = {r.attempt: r for r in remember(said, queries=(IDEAS[1],)).recollections}
    two = {r.attempt: r for r in remember(said, queries=(IDEAS[1], IDEAS[2])).recollections}
    assert two["a1"].similarity == one["a1"].similarity, "the nearest candidate counts"
    assert two["a2"].similarity > one["a2"].similarity
    assert two["a1"].weight < one["a1"].weight and two["a2"].weight > one["a2"].weight


def test_a_single_question_is_the_same_as_one_candidate() -> None:
    said = story([(0, True, 0.1)] * 4)
    assert remember(said, query=IDEAS[2]) == remember(said, query="", queries=(IDEAS[2],))


def test_the_path_is_the_parent_its_ancestors_and_what_was_refused_on_the_way() -> None:
    said = story([(0, False, 0.1), (0, True, 0.1), (0, False, 0.1), (1, True, 0.1), (0, True, 0.1), (0, False, 0.1)])
    _, trajectory = folded(said)
    assert path(trajectory, 0, "a5") == (5, [pytest.approx(0.7), pytest.approx(0.9)])
    assert path(trajectory, 0, "a2") == (3, [pytest.approx(0.9)]), "a step that goes back does not see what came later"
    assert path(trajectory, 1, "a4")[0] == 1
    assert path(trajectory, 2, "") == (0, [])


def test_the_path_has_no_length_before_anything_was_accepted() -> None:
    said: list[Payload] = [*story([(0, False, 0.1)] * 3), StepPlanned("a9", 0, 4), AttemptRejected("a9")]
    assert path(folded(said)[1], 0, "") == (0, [])

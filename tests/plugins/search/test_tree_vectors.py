"""The conformance vectors of the published searches: numbers computed from their code, which ours must give too. That
of the fusion of ranks is with the memory's tests, those of ensembles are with the selection's."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gome.events import StepPlanned
from gome.plugins.search.tree import aide_search
from gome.plugins.search.tree.aira_evo import softmax
from gome.plugins.search.tree.aira_mcts import value
from gome.plugins.search.tree.evolving import by_rank, soft_switch
from gome.plugins.search.tree.fold import Node, Tree
from gome.plugins.search.tree.mlevolve import mlevolve
from gome.plugins.search.tree.mlmaster import ChainPolicy, mlmaster
from gome.plugins.search.tree.uct import UctSettings, exploration, outlying, uct
from tests.plugins.search.growing import failed, good, growing


@pytest.mark.parametrize(
    ("t", "weight"),
    [(0, 1.414), (44, 1.414), (45, 1.414), (60, 1.264), (100, 0.864), (136, 0.504), (137, 0.5), (350, 0.5), (499, 0.5)],
)
def test_exploration_decays_in_three_phases(t: int, weight: float) -> None:
    assert exploration(t, UctSettings()) == pytest.approx(weight, abs=1e-12)


def test_a_slow_decay_stays_above_its_lowest_until_the_last_phase() -> None:
    slow = UctSettings(alpha=0.001)
    assert exploration(350, slow) == pytest.approx(1.414 - 0.305) and exploration(351, slow) == 0.5


@pytest.mark.parametrize(("reward", "visits", "u"), [(1, 2, 1.768445), (-1, 1, 0.793852), (0, 0, math.inf)])
def test_uct_of_chains(reward: float, visits: int, u: float) -> None:
    assert uct(reward, visits, 5, 1.414) == pytest.approx(u, abs=1e-6)


def test_uct_of_monte_carlo() -> None:
    greater = value(0.8 + 0.9, 2, 5, (0.7, 0.9), 0.25, greater=True, released=True)
    assert greater == pytest.approx(0.974265, abs=1e-6)
    assert greater == value(0.8 + 0.9, 2, 5, (0.7, 0.9), 0.25, greater=True, released=False)
    smaller = value(0.2 + 0.3, 2, 5, (0.1, 0.3), 0.25, greater=False, released=True)
    assert smaller == pytest.approx(-1.525735, abs=1e-6)
    assert value(0.0, 0, 5, (0.1, 0.3), 0.25, greater=False, released=True) == -1e8


def test_repaired_monte_carlo_keeps_minimised_values_between_0_and_1_and_counts_failures_as_the_worst() -> None:
    smaller = value(0.2 + 0.3, 2, 5, (0.1, 0.3), 0.25, greater=False, released=False)
    assert smaller == pytest.approx(0.25 + 0.25 * math.sqrt(math.log(5) / 2), abs=1e-9)
    with_failure = value(0.2 + 0.3, 2, 5, (0.1, 0.3), 0.25, greater=False, released=False, failures=1)
    assert with_failure == pytest.approx(0.5 / 3 + 0.25 * math.sqrt(math.log(5) / 3), abs=1e-9)
    nothing = value(0.0, 0, 5, (math.inf, -math.inf), 0.25, greater=False, released=False, failures=2)
    assert nothing == pytest.approx(0.25 * math.sqrt(math.log(5) / 2), abs=1e-9)


def rewards(policy: ChainPolicy[Any], variant: str) -> list[float]:
    """What a draft, a change and a repair that work and beat the best, and a failure, earn."""
    own = policy.begin(policy.settings(variant=variant))
    shapes: list[tuple[str, str, int, str]] = [
        ("draft", "", 0, ""),
        ("improve", "p", 0, ""),
        ("debug", "p", 1, ""),
        ("debug", "p", 1, "exception"),
    ]
    found = []
    for kind, parent, depth, failure in shapes:
        node = Node("n", 0, kind, parent, (), 0, 0, depth=depth, closed=True, score=0.9, failure=failure)
        found.append(policy.reward(Tree(sign=1.0), own, node, 0.5))
    return found


def test_rewards_as_released_do_not_know_the_score() -> None:
    assert rewards(mlmaster, "released") == [1, 1, 1, -1]
    assert rewards(mlevolve, "released") == [0, 1, 1.5, -1]


def test_repaired_rewards_have_the_bonus_for_beating_the_best() -> None:
    assert rewards(mlmaster, "repaired") == [2, 2, 2, -1]
    assert rewards(mlevolve, "repaired") == [1.5, 2.5, 3, -1]


@pytest.mark.parametrize(("f", "weight"), [(0.4, 1), (0.5, 1), (0.6, 0.6), (0.7, 0.2), (0.9, 0.2)])
def test_the_soft_switch(f: float, weight: float) -> None:
    assert soft_switch(f) == pytest.approx(weight, abs=1e-12)


def test_ranks_are_drawn_in_proportion_to_their_inverse() -> None:
    assert by_rank(5) == pytest.approx([0.4380, 0.2190, 0.1460, 0.1095, 0.0876], abs=5e-5)
    assert by_rank(3) == pytest.approx([0.5455, 0.2727, 0.1818], abs=5e-5)


def test_parents_of_an_evolution_are_drawn_by_softmax() -> None:
    assert softmax([0, 0.5, 1], 1.0) == pytest.approx([0.1863, 0.3072, 0.5065], abs=5e-5)


def test_a_leaf_at_the_largest_depth_can_be_repaired_and_its_child_cannot() -> None:
    run = growing(aide_search, num_drafts=1, debug_prob=1.0, max_debug_depth=3)
    for number in range(1, 5):  # a draft and three repairs, each of which fails
        failed(run, f"a{number}")
        step = run.last(StepPlanned)
        assert (step.kind, step.parent) == ("debug", f"a{number}")
    failed(run, "a5")
    step = run.last(StepPlanned)
    assert (step.attempt, step.kind, step.parent) == ("a6", "draft", ""), "the leaf at depth 4 is given up"


@pytest.mark.parametrize(
    ("score", "best", "odd"),
    [(1e9, 0.5, True), (60, 0.5, True), (50, 0.5, False), (0.004, 0.5, True), (0.0, 0.5, False)],
)
def test_a_score_is_an_outlier_when_it_differs_by_more_than_the_factor(score: float, best: float, odd: bool) -> None:
    assert outlying(score, best, 100.0) is odd and not outlying(score, None, 100.0)


def test_whole_numbers_are_no_scores_for_the_released_greedy_search() -> None:
    for variant, kind in (("released", "debug"), ("repaired", "improve")):
        run = growing(aide_search, num_drafts=1, debug_prob=1.0, variant=variant)
        good(run, "a1", 1.0)
        assert run.last(StepPlanned).kind == kind

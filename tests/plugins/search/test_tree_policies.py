"""The rules of each tree search as tables: what became of the steps so far, and which one comes next."""

from __future__ import annotations

from collections import Counter

import pytest

from gome.events import Budget, SearchEnded, StepPlanned
from gome.kernel.plugin import Plugin
from gome.plugins.search.tree import (
    aide_search,
    aira_evo_search,
    aira_greedy_search,
    aira_mcts_search,
    mlevolve_search,
    mlmaster_search,
    random_search,
)
from gome.plugins.search.tree.evolving import borrowed, representatives, stagnant, stuck, top
from gome.plugins.search.tree.fold import Node, Tree
from tests.plugins.search.growing import exhausted, failed, good, growing, lost, only, steps


def test_drafts_come_first_then_the_best_is_improved_on_until_something_beats_it() -> None:
    run = growing(aide_search, greater=False)
    for number, score in enumerate([0.5, 0.3, 0.9, 0.3, 0.8], start=1):
        assert run.last(StepPlanned).kind == "draft"
        said = good(run, f"a{number}", score, accepted=False)
    assert only(said) == ("a6", "improve", "a2"), "of equals the first"
    assert only(good(run, "a6", 0.4)) == ("a7", "improve", "a2")
    assert only(good(run, "a7", 0.2, accepted=False)) == ("a8", "improve", "a7"), "the verdict is no affair of a tree"


def test_failed_drafts_count_and_without_a_good_node_there_are_more_of_them() -> None:
    run = growing(aide_search, debug_prob=0.0, num_drafts=2)
    failed(run, "a1")
    assert only(failed(run, "a2")) == ("a3", "draft", "")
    assert only(good(run, "a3", 0.5)) == ("a4", "improve", "a3")


def test_repairs_come_by_chance() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(200):
        run = growing(aide_search, seed=seed, num_drafts=2)
        good(run, "a1", 0.5)
        kinds[only(failed(run, "a2"))[1]] += 1
    assert kinds["debug"] + kinds["improve"] == 200 and 80 <= kinds["debug"] <= 120


def test_a_failed_node_with_a_repair_in_flight_is_no_leaf() -> None:
    run = growing(aide_search, capacity=2, num_drafts=2, debug_prob=1.0)
    assert only(failed(run, "a1")) == ("a3", "debug", "a1")
    assert only(good(run, "a2", 0.5)) == ("a4", "improve", "a2")


@pytest.mark.parametrize("end", ["hopeless", "cancelled", "effect"])
def test_what_was_no_fault_of_the_program_is_not_repaired(end: str) -> None:
    run = growing(aide_search, num_drafts=2, debug_prob=1.0)
    good(run, "a1", 0.5)
    assert only(failed(run, "a2", "" if end == "hopeless" else end)) == ("a3", "improve", "a1")


def test_a_step_without_a_program_is_not_repaired() -> None:
    run = growing(aide_search, num_drafts=2, debug_prob=1.0)
    good(run, "a1", 0.5)
    assert only(lost(run, "a2")) == ("a3", "improve", "a1")


def test_what_the_reasoner_has_nothing_left_for_is_passed_over_until_something_is_accepted() -> None:
    run = growing(aide_search, num_drafts=2)
    good(run, "a1", 0.5)
    good(run, "a2", 0.6)
    assert only(exhausted(run, "a3")) == ("a4", "improve", "a1")
    assert only(good(run, "a4", 0.4, accepted=False)) == ("a5", "improve", "a1")
    assert only(good(run, "a5", 0.4, accepted=True)) == ("a6", "improve", "a2")
    exhausted(run, "a6")
    exhausted(run, "a7")
    exhausted(run, "a8")
    assert only(exhausted(run, "a9")) == ("a10", "draft", "")
    said = exhausted(run, "a10")
    assert [type(p) for p in said] == [SearchEnded] and "nothing left" in run.last(SearchEnded).reason


def test_a_search_gives_up_when_too_many_steps_in_a_row_cannot_be_scored() -> None:
    run = growing(aide_search, failures=3)
    lost(run, "a1")
    lost(run, "a2")
    assert [type(p) for p in lost(run, "a3")] == [SearchEnded] and "3 steps in a row" in run.last(SearchEnded).reason


@pytest.mark.parametrize(("limit", "scaled", "drafts"), [(8, True, 2), (20, True, 5), (8, False, 5), (3, True, 1)])
def test_first_drafts_take_no_more_than_their_share_of_a_short_budget(limit: int, scaled: bool, drafts: int) -> None:
    run = growing(aide_search, budget=Budget(steps=limit), scaled=scaled)
    for number in range(1, limit + 1):
        good(run, f"a{number}", 0.5)
    assert Counter(p.kind for p in run.all(StepPlanned))["draft"] == drafts
    assert "steps of the budget are done" in run.last(SearchEnded).reason


def test_the_share_of_the_budget_is_that_of_the_seconds_which_are_left_to_the_search() -> None:
    run = growing(aide_search, budget=Budget(seconds=100.0))
    good(run, "a1", 0.5, active=19.0)
    assert run.last(StepPlanned).kind == "draft"
    good(run, "a2", 0.5, active=21.0)
    assert run.last(StepPlanned).kind == "improve", "a quarter of 80 seconds is over"


def test_the_greedy_search_of_aira_repairs_always_and_long() -> None:
    run = growing(aira_greedy_search, num_drafts=1)
    for number in range(1, 22):
        assert only(failed(run, f"a{number}")) == (f"a{number + 1}", "debug", f"a{number}")
    assert only(failed(run, "a22")) == ("a23", "draft", "")
    assert run.last(StepPlanned).context == "aira.draft"


def test_the_control_draws_among_all_operators_that_are_possible() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(150):
        run = growing(random_search, seed=seed)
        good(run, "a1", 0.5)
        step = run.last(StepPlanned)
        if step.kind == "draft":
            kinds[only(failed(run, "a2"))[1]] += 1
    assert set(kinds) == {"draft", "improve", "debug"} and min(kinds.values()) > sum(kinds.values()) / 5


def test_a_chain_goes_on_through_three_weak_steps_from_the_weaker_one_and_the_fourth_ends_it() -> None:
    run = growing(mlmaster_search, num_drafts=1)
    assert only(good(run, "a1", 0.5)) == ("a2", "improve", "a1")
    assert only(good(run, "a2", 0.6)) == ("a3", "improve", "a2")
    assert only(good(run, "a3", 0.6)) == ("a4", "improve", "a3")
    assert only(good(run, "a4", 0.55)) == ("a5", "improve", "a4")
    assert only(good(run, "a5", 0.60005)) == ("a6", "improve", "a5")
    own = run.states[0].own
    assert not own.visits
    said = good(run, "a6", 0.6)
    assert own.terminal == {"a6"} and own.visits == dict.fromkeys(["a6", "a5", "a4", "a3", "a2", "a1", ""], 1)
    assert only(said) == ("a7", "improve", "a1"), "UCT begins at the top of what has room"


def test_a_repair_that_works_ends_the_chain_and_settles_what_it_repaired() -> None:
    run = growing(mlmaster_search, num_drafts=1)
    assert only(failed(run, "a1")) == ("a2", "debug", "a1")
    assert only(failed(run, "a2")) == ("a3", "debug", "a2")
    said = good(run, "a3", 0.5)
    own = run.states[0].own
    assert own.visits == dict.fromkeys(["a3", "a2", "a1", ""], 1) and own.repaired == {"a1", "a2"}
    assert only(said) == ("a4", "improve", "a3")


def test_too_many_failures_in_a_row_send_the_worker_back_with_a_penalty() -> None:
    run = growing(mlmaster_search, num_drafts=1, max_debug_depth=4)
    for number in range(1, 4):
        failed(run, f"a{number}")
    own = run.states[0].own
    assert not own.visits
    assert only(failed(run, "a4")) == ("a5", "debug", "a4"), "UCT leads back to the only leaf"
    assert own.visits[""] == 1 and own.rewards[""] == -1
    assert only(failed(run, "a5")) == ("a6", "draft", ""), "the leaf is terminal: another branch is all that is left"


def test_there_is_one_worker_per_branch() -> None:
    run = growing(mlmaster_search, capacity=3)
    assert steps(run.all(StepPlanned)) == [("a1", "draft", ""), ("a2", "draft", ""), ("a3", "draft", "")]
    assert only(good(run, "a2", 0.5)) == ("a4", "improve", "a2")
    assert only(failed(run, "a1")) == ("a5", "debug", "a1")
    one = growing(mlmaster_search, capacity=3, num_drafts=1)
    assert len(one.all(StepPlanned)) == 1, "two workers have nothing to do"


def test_only_repaired_chains_are_led_by_scores() -> None:
    for variant, rewarded in (("repaired", 3), ("released", 2)):
        run = growing(mlmaster_search, num_drafts=1, variant=variant)
        failed(run, "a1")
        good(run, "a2", 0.5)
        assert run.states[0].own.rewards[""] == 1, "the first score beats nothing"
        failed(run, "a3")
        good(run, "a4", 0.6)
        assert run.states[0].own.rewards[""] == rewarded


def test_scores_out_of_all_proportion_are_failures_unless_released() -> None:
    for variant, kind in (("repaired", "debug"), ("released", "improve")):
        run = growing(mlmaster_search, num_drafts=1, variant=variant)
        good(run, "a1", 0.5)
        assert only(good(run, "a2", 123.5))[1] == kind


def test_a_step_that_was_never_run_counts_no_visit_and_frees_its_branch() -> None:
    run = growing(mlmaster_search, num_drafts=1)
    good(run, "a1", 0.5)
    assert only(lost(run, "a2")) == ("a3", "improve", "a1")
    assert not run.states[0].own.visits


def test_initial_drafts_come_before_any_chain_goes_on_and_a_repair_that_works_goes_on() -> None:
    run = growing(mlevolve_search)
    assert only(good(run, "a1", 0.5)) == ("a2", "draft", "")
    assert only(failed(run, "a2")) == ("a3", "draft", "")
    assert only(good(run, "a3", 0.6)) == ("a4", "improve", "a1")
    assert only(good(run, "a4", 0.7)) == ("a5", "debug", "a2")
    good(run, "a5", 0.6)
    own = run.states[0].own
    assert "a5" in own.due.values() and not own.visits


def tree_of(*nodes: tuple[str, str, float], sign: float = 1.0) -> Tree:
    """A tree of good nodes: name, parent, score."""
    tree = Tree(sign=sign)
    for name, parent, score in nodes:
        branch = tree.nodes[parent].branch if parent else len(tree.roots)
        node = Node(name, len(tree.nodes), "improve" if parent else "draft", parent, (), branch, branch)
        node.closed, node.score = True, score
        tree.nodes[name] = node
        (tree.nodes[parent].children if parent else tree.roots).append(name)
        tree.count(node)
    return tree


def test_a_branch_stands_still_when_its_last_successes_do_not_hold_its_best() -> None:
    tree = tree_of(("a", "", 0.9), ("b", "a", 0.5), ("c", "b", 0.6))
    assert not stagnant(tree, 0, 3)
    tree = tree_of(("a", "", 0.9), ("b", "a", 0.5), ("c", "b", 0.6), ("d", "c", 0.7))
    assert stagnant(tree, 0, 3) and not stagnant(tree, 0, 6) and not stagnant(tree, 1, 3)
    assert not stagnant(tree_of(("a", "", 0.9), ("b", "a", 0.5)), 0, 1), "one success is too few"


def test_everything_stands_still_by_the_window_as_released_and_by_what_came_before_as_repaired() -> None:
    rising = tree_of(*((f"n{i}", "", i / 10) for i in range(8)))
    assert stuck(rising, 6, 1e-4, released=True) and not stuck(rising, 6, 1e-4, released=False)
    flat = tree_of(("x", "", 0.9), ("y", "", 0.9), *((f"n{i}", "", 0.5) for i in range(6)))
    assert stuck(flat, 6, 1e-4, released=False)
    assert not stuck(flat, 9, 1e-4, released=True) and not stuck(flat, 8, 1e-4, released=False)


def test_representatives_are_the_best_of_each_branch_but_for_losses_as_released() -> None:
    nodes = (("a", "", 0.3), ("b", "a", 0.1), ("c", "", 0.2), ("d", "c", 0.7))
    assert representatives(tree_of(*nodes, sign=-1.0), released=False) == ("b", "c")
    assert representatives(tree_of(*nodes, sign=-1.0), released=True) == ("a", "d")
    assert representatives(tree_of(*nodes), released=True) == representatives(tree_of(*nodes), released=False)


def test_a_fusion_borrows_the_best_two_of_each_other_branch_and_five_in_all() -> None:
    nodes = [(f"{b}{i}", f"{b}{i - 1}" if i else "", n / 10 + i / 100) for n, b in enumerate("abcd") for i in range(3)]
    assert borrowed(tree_of(*nodes), 0) == ("d2", "d1", "c2", "c1", "b2")


def test_the_ranking_takes_so_many_of_each_branch() -> None:
    nodes = [(f"{b}{i}", f"{b}{i - 1}" if i else "", n / 10 + i / 100) for n, b in enumerate("ab") for i in range(4)]
    assert [n.name for n in top(tree_of(*nodes), 5, 3)] == ["b3", "b2", "b1", "a3", "a2"]
    assert [n.name for n in top(tree_of(*nodes), 3, 2)] == ["b3", "b2", "a3"]


def test_from_half_of_the_time_on_a_branch_that_stands_still_takes_evolutions_and_fusions() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(12):
        run = growing(mlevolve_search, seed=seed, budget=Budget(steps=60), initial_drafts=2, num_drafts=2, patience=30)
        for number in range(1, 61):
            good(run, f"a{number}", 0.9 if number < 3 else 0.5 - number / 1000)
        for p in run.all(StepPlanned):
            kinds[p.kind] += 1
            if p.kind == "fusion":
                assert p.parents and int(p.attempt[1:]) > 30
    assert kinds["evolution"] > kinds["fusion"] > 0


def test_a_run_that_stands_still_begins_new_branches_by_fusion_twice_at_most() -> None:
    seen = 0
    for seed in range(8):
        run = growing(mlevolve_search, seed=seed, budget=Budget(steps=60), initial_drafts=2, num_drafts=2, patience=1)
        for number in range(1, 61):
            good(run, f"a{number}", 0.9 if number < 3 else 0.5 - number / 1000)
        new = [p for p in run.all(StepPlanned) if p.kind == "fusion" and not p.parent]
        assert len(new) <= 2 and all(set(p.parents) >= {"a1", "a2"} for p in new)
        assert all(p.trace not in {q.trace for q in run.all(StepPlanned) if q.step == 1 and q is not p} for p in new)
        seen += len(new)
    assert seen


def test_long_chains_are_broken_by_every_third_node_from_four_tenths_of_the_time_on() -> None:
    run = growing(mlevolve_search, budget=Budget(steps=100), initial_drafts=1, num_drafts=1, patience=100)
    visits = []
    for number in range(1, 79):
        # Weak steps, so that none is the best of the latest four (but for the first of them).
        good(run, f"a{number}", 0.9 - number / 1000)
        visits.append(run.states[0].own.visits.get("", 0))
    assert visits[38] == 0, "no chain is broken before"
    assert visits[77] - visits[40] == pytest.approx((78 - 41) / 3, abs=1.5)


def test_a_leaf_gets_five_children_one_after_the_other_and_the_best_draft_is_the_next_leaf() -> None:
    run = growing(aira_mcts_search)
    for number, score in enumerate([0.5, 0.7, 0.9, 0.6, 0.8], start=1):
        assert run.last(StepPlanned).kind == "draft"
        said = good(run, f"a{number}", score)
    for number in range(6, 11):
        assert only(said) == (f"a{number}", "improve", "a3")
        said = good(run, f"a{number}", 0.95 if number == 8 else 0.5)
    assert only(said)[2] in ("a5", "a8")


def test_a_failed_child_is_repaired_at_once_and_what_it_scores_is_backed_up_along_the_chain() -> None:
    run = growing(aira_mcts_search)
    assert only(failed(run, "a1")) == ("a2", "debug", "a1")
    assert only(failed(run, "a2")) == ("a3", "debug", "a2")
    assert only(good(run, "a3", 0.5)) == ("a4", "draft", "")
    own = run.states[0].own
    assert own.counts == dict.fromkeys(["a3", "a2", "a1", ""], 1) and own.totals["a1"] == 0.5


def test_released_monte_carlo_improves_a_failed_node_where_repaired_the_leaf_loses_by_its_failures() -> None:
    for variant in ("released", "repaired"):
        run = growing(aira_mcts_search, num_children=2, max_debug_depth=1, variant=variant, scaled=False)
        good(run, "a1", 0.9)
        good(run, "a2", 0.5)
        for number in (3, 5):  # the children of a1 fail, and so do their repairs
            assert run.last(StepPlanned).parent == "a1"
            failed(run, f"a{number}")
            said = failed(run, f"a{number + 1}")
        own = run.states[0].own
        if variant == "released":
            assert not own.failures and only(said)[1:] == ("improve", "a4"), "a failed repair of a failed child"
        else:
            assert own.failures == {"a4": 1, "a3": 1, "a1": 2, "": 2, "a6": 1, "a5": 1}
            turns = [only(said)[2]]
            while turns[-1] == "a1" and len(turns) < 10:
                failed(run, run.last(StepPlanned).attempt)
                turns.append(only(failed(run, run.last(StepPlanned).attempt))[2])
            assert turns[0] == "a1" and turns[-1] == "a2", "with each failure a1 is worth less"


def test_generations_of_drafts_then_improvements_then_crossovers() -> None:
    run = growing(aira_evo_search, crossover_prob=1.0)
    for number in range(1, 16):
        step = run.last(StepPlanned)
        kind = "draft" if number <= 5 else "improve" if number <= 10 else "crossover"
        assert step.kind == kind
        assert len({step.parent, *step.parents} - {""}) == {"draft": 0, "improve": 1, "crossover": 2}[kind]
        good(run, step.attempt, 0.5 + number / 100)
    assert len(run.states[0].own.islands[0]) == 15, "each was at least as good as the mean"


def test_a_child_below_the_mean_of_its_island_is_not_taken_in_and_a_full_island_drops_its_worst() -> None:
    run = growing(aira_evo_search, max_island_size=2)
    for number, score in enumerate([0.5, 0.9, 0.6, 0.8, 0.95], start=1):
        good(run, f"a{number}", score)
    assert run.states[0].own.islands == [["a2", "a5"]]


def test_migration_resets_the_weaker_half_and_as_released_the_better_one() -> None:
    for variant, reset in (("repaired", 0), ("released", 1)):
        run = growing(aira_evo_search, islands=2, migration_prob=1.0, individuals=6, variant=variant, seed=3)
        homes = run.states[0].own.home
        for number in range(1, 7):
            # The second island is the better one.
            good(run, f"a{number}", 0.3 + 0.5 * homes[f"a{number}"] + number / 100)
        islands = run.states[0].own.islands
        assert all(islands), "both islands are inhabited by this seed"
        kept = islands[reset]
        assert len(kept) <= 2 and {homes[n] for n in kept[:1]} == {reset}
        if len(kept) == 2:
            assert homes[kept[1]] != reset


def test_discarded_children_leave_the_population_to_others_and_an_empty_one_is_drafted_for() -> None:
    run = growing(aira_evo_search, individuals=2, max_debug_depth=1, scaled=False)
    for number in (1, 3):
        assert only(failed(run, f"a{number}")) == (f"a{number + 1}", "debug", f"a{number}")
        said = failed(run, f"a{number + 1}")
    assert only(said) == ("a5", "draft", "")
    assert run.states[0].own.islands == [[]]


@pytest.mark.parametrize("search", [mlmaster_search, mlevolve_search])
def test_a_worker_whose_branch_is_dead_drafts_while_the_root_has_room_whatever_is_left_of_the_budget(
    search: Plugin,
) -> None:
    for pinned in (True, False):
        run = growing(search, capacity=3, budget=Budget(steps=20), pinned=pinned)
        good(run, "a1", 0.5)
        good(run, "a2", 0.5)
        assert run.last(StepPlanned).attempt == "a5" and run.last(StepPlanned).kind != "draft", "5 of 20 are used"
        said = failed(run, "a3", "")  # far behind: there is nothing to repair
        # Before there was a flag for it the worker waited for one of the others to come back to the root.
        assert said == [] if not pinned else only(said) == ("a6", "draft", "")


def test_no_worker_drafts_beyond_the_number_of_drafts_while_others_work() -> None:
    run = growing(mlmaster_search, capacity=3, num_drafts=3)
    good(run, "a1", 0.5)
    good(run, "a2", 0.5)
    assert failed(run, "a3", "") == [], "the root is full, and both other branches have their workers"


def test_monte_carlo_goes_on_with_its_drafts_rather_than_to_leave_capacity_free() -> None:
    for pinned in (True, False):
        run = growing(aira_mcts_search, capacity=3, budget=Budget(steps=12), pinned=pinned)
        assert [s.kind for s in run.all(StepPlanned)] == ["draft"] * 3
        said = failed(run, "a1", "")  # nothing works yet, and the drafts' share of the budget is used
        assert said == [] if not pinned else only(said) == ("a4", "draft", "")

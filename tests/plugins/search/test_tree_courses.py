"""Whatever happens to their steps: tree searches stay within capacity and budget, expand nothing that is closed to
them, come to an end exactly once, and keep no other statistics than those that follow from the events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gome.events import Budget, RunForked, RunStarted, SearchEnded, StepPlanned
from gome.plugins.search.tree import PLUGINS
from tests.plugins.driver import Driver, some_task
from tests.plugins.search.growing import PROFILED, exhausted, failed, good, growing, lost

NAMES = {plugin.name: plugin for plugin in PLUGINS}
WITH_VARIANTS = ("aide", "mlmaster", "aira-mcts", "aira-evo", "mlevolve")
END = ("good", "good", "good", "refused", "fail", "fail", "lost", "exhausted", "hopeless")
Told = list[tuple[str, int, float]]
"""What becomes of a step, which of the open ones it is, and a number for its score."""
told_ = st.lists(st.tuples(st.sampled_from(END), st.integers(0, 7), st.integers(1, 40)), min_size=45, max_size=45)


def happen(run: Driver, name: str, outcome: str, score: float) -> None:
    match outcome:
        case "good":
            good(run, name, score)
        case "refused":
            good(run, name, score, accepted=False)
        case "fail":
            failed(run, name, "memory")
        case "hopeless":
            failed(run, name, "")
        case "lost":
            lost(run, name)
        case "exhausted":
            exhausted(run, name)


def course(run: Driver, told: Told, capacity: int) -> dict[str, str]:
    """Let steps have their outcomes until the search ends; returns the outcomes. Asserts that it neither has more in
    flight than allowed nor waits for nobody."""
    done: dict[str, str] = {}
    for outcome, pick, number in told:
        open_ = [p for p in run.all(StepPlanned) if p.attempt not in done]
        assert len(open_) <= capacity
        if not open_:
            assert run.all(SearchEnded), "nothing is in flight, and the search has not said that it is over"
            break
        step = open_[pick % len(open_)]
        done[step.attempt] = outcome
        happen(run, step.attempt, outcome, 0.5 + number / 100 + 0.001)
    assert len(run.all(SearchEnded)) <= 1
    return done


def variants(name: str, variant: str, scaled: bool) -> dict[str, Any]:
    table: dict[str, Any] = {} if name == "random" else {"scaled": scaled}
    return {**table, "variant": variant} if name in WITH_VARIANTS else table


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(sorted(NAMES)),
    variant=st.sampled_from(["released", "repaired"]),
    scaled=st.booleans(),
    capacity=st.integers(1, 4),
    limit=st.integers(1, 60),
    greater=st.booleans(),
    seed=st.integers(0, 99),
    told=told_,
)
def test_every_course_expands_only_what_may_be_expanded_and_comes_to_an_end(
    name: str, variant: str, scaled: bool, capacity: int, limit: int, greater: bool, seed: int, told: Told
) -> None:
    table = variants(name, variant, scaled)
    run = growing(NAMES[name], capacity=capacity, budget=Budget(steps=limit), greater=greater, seed=seed, **table)
    done = course(run, told, capacity)
    planned = {p.attempt: p for p in run.all(StepPlanned)}
    assert list(planned) == [f"a{n + 1}" for n in range(len(planned))] and len(planned) <= limit
    before: set[str] = set()
    scope = name.partition("-")[0]
    for step in planned.values():
        assert step.context == f"{scope}.{step.kind}" and step.reason
        for parent in (p for p in (step.parent, *step.parents) if p):
            assert parent in before and parent in done, "a parent is a node that has been closed"
        outcome = done.get(step.parent, "")
        if step.kind == "debug":
            assert outcome == "fail" and planned[step.parent].trace == step.trace
        elif step.parent and not (name == "aira-mcts" and variant == "released"):
            assert outcome in ("good", "refused") and planned[step.parent].trace == step.trace
        assert (step.kind == "draft") <= (not step.parent)
        before.add(step.attempt)
    numbers: dict[int, list[int]] = {}
    for step in planned.values():
        numbers.setdefault(step.trace, []).append(step.step)
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())


def _fresh(run: Driver) -> Any:
    """The state that the events of a run lead to, folded anew."""
    (plugin,) = run.plugins
    state = plugin.initial()
    for event in run.log:
        if isinstance(event.payload, plugin.reads):
            state = plugin.evolve(state, event)
    return state


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["mlmaster", "mlevolve"]),
    variant=st.sampled_from(["released", "repaired"]),
    scaled=st.booleans(),
    capacity=st.integers(1, 4),
    told=told_,
)
def test_chains_never_touch_a_locked_or_terminal_node_and_their_visits_add_up(
    name: str, variant: str, scaled: bool, capacity: int, told: Told
) -> None:
    run = growing(NAMES[name], capacity=capacity, budget=Budget(steps=60), variant=variant, scaled=scaled)
    done: dict[str, str] = {}
    for outcome, pick, number in told:
        state = run.states[0]
        open_ = list(state.tree.open)
        branches = [state.tree.nodes[n].branch for n in open_]
        assert len(set(branches)) == len(branches), "two workers in one branch"
        terminal, positions = set(state.own.terminal), dict(state.own.due)
        if not open_:
            break
        count = len(run.all(StepPlanned))
        done[name_ := open_[pick % len(open_)]] = outcome
        happen(run, name_, outcome, 0.5 + number / 100 + 0.001)
        for step in run.all(StepPlanned)[count:]:
            assert step.parent not in terminal, "a terminal node was expanded"
            # A branch that waits for its worker is left to that worker.
            branch = state.tree.nodes[step.attempt].branch
            assert positions.get(branch, step.parent) == step.parent
    state = run.states[0]
    assert state == _fresh(run)
    # Recomputed from the nodes alone: a visit is a chain that ended at or below a node.
    visits = state.own.visits
    for parent in ("", *state.tree.nodes):
        below = sum(visits.get(n.name, 0) for n in state.tree.children(parent))
        ended_here = visits.get(parent, 0) - below
        assert ended_here in ((0,) if not parent else (0, 1))
    assert all(abs(r) <= 3.0 * visits[n] for n, r in state.own.rewards.items())


@settings(max_examples=30, deadline=None)
@given(variant=st.sampled_from(["released", "repaired"]), greater=st.booleans(), told=told_)
def test_what_monte_carlo_has_backed_up_is_what_the_nodes_below_scored(variant: str, greater: bool, told: Told) -> None:
    run = growing(NAMES["aira-mcts"], capacity=2, budget=Budget(steps=60), greater=greater, variant=variant)
    course(run, told, 2)
    tree, own = run.states[0].tree, run.states[0].own
    assert run.states[0] == _fresh(run)
    scores = {n: tree.nodes[n].score for n in tree.good}
    for name in ("", *tree.nodes):
        below = [n for n in tree.good if name in tree.above(n)]
        assert own.counts.get(name, 0) == len(below)
        assert own.totals.get(name, 0.0) == pytest.approx(sum(scores[n] for n in below))
    if scores:
        assert (own.low, own.high) == (min(scores.values()), max(scores.values()))
    if variant == "released":
        assert not own.failures


@settings(max_examples=30, deadline=None)
@given(islands=st.integers(1, 3), migration=st.sampled_from([0.0, 0.5]), told=told_, seed=st.integers(0, 9))
def test_the_population_holds_good_nodes_of_complete_generations(
    islands: int, migration: float, told: Told, seed: int
) -> None:
    run = growing(
        NAMES["aira-evo"], budget=Budget(steps=60), seed=seed, islands=islands, migration_prob=migration, scaled=False
    )
    done = course(run, told, 1)
    own, tree = run.states[0].own, run.states[0].tree
    assert run.states[0] == _fresh(run)
    settled = {r for g in own.generations if g.settled for r in g.results.values() if r}
    assert {n for island in own.islands for n in island} <= settled
    assert all(len(set(island)) == len(island) for island in own.islands)
    individuals = [n for n in tree.nodes.values() if n.kind != "debug"]
    assert [len(g.members) for g in own.generations[:-1]] == [5] * (len(own.generations) - 1)
    assert sum(len(g.members) for g in own.generations) == len(individuals)
    if "exhausted" not in done.values():
        assert {n.kind for n in individuals[:5]} <= {"draft"}
    if done and islands == 1 and not migration and own.islands[0]:
        first = min(settled, key=lambda n: tree.nodes[n].number)
        assert first in own.islands[0], "an empty island takes the first"


@pytest.mark.parametrize("name", ["aide", "aira-greedy", "aira-evo", "random"])
@settings(max_examples=12, deadline=None)
@given(capacity=st.integers(1, 5), told=told_)
def test_searches_without_locks_leave_no_slot_free_while_there_is_budget(name: str, capacity: int, told: Told) -> None:
    run = growing(NAMES[name], capacity=capacity, budget=Budget(steps=1000))
    done: set[str] = set()
    for outcome, pick, number in told:
        open_ = [p for p in run.all(StepPlanned) if p.attempt not in done]
        if run.all(SearchEnded):
            return
        state = run.states[0]
        assert len(open_) == capacity or state.tree.failed_in_a_row >= 40 or "" in state.tree.dry
        if not open_:
            return
        step = open_[pick % len(open_)]
        done.add(step.attempt)
        happen(run, step.attempt, outcome, 0.5 + number / 100 + 0.001)


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(sorted(NAMES)), seed=st.integers(0, 99), told=told_)
def test_negated_scores_under_the_opposite_direction_lead_to_the_same_choices(name: str, seed: int, told: Told) -> None:
    def choices(greater: bool) -> list[StepPlanned]:
        run = growing(NAMES[name], budget=Budget(steps=50), greater=greater, seed=seed)
        done: set[str] = set()
        for outcome, _, number in told:
            open_ = [p for p in run.all(StepPlanned) if p.attempt not in done]
            if not open_:
                break
            done.add(open_[0].attempt)
            happen(run, open_[0].attempt, outcome, (1.0 if greater else -1.0) * (0.5 + number / 64))
        return run.all(StepPlanned)

    assert [(p.kind, p.parent, p.parents) for p in choices(True)] == [
        (p.kind, p.parent, p.parents) for p in choices(False)
    ]


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(sorted(NAMES)),
    other=st.sampled_from(sorted(NAMES)),
    told=told_,
    at=st.integers(0, 40),
    capacity=st.integers(1, 4),
)
def test_a_search_that_takes_over_in_a_fork_fills_what_is_free_and_goes_on_to_the_end(
    name: str, other: str, told: Told, at: int, capacity: int
) -> None:
    run = growing(NAMES[other], capacity=2, budget=Budget(steps=60))
    done = course(run, told[:at], 2)
    if run.all(SearchEnded):
        return
    prefix = list(run.log)
    forked = Driver(NAMES[name])
    started = RunStarted(task=some_task("r2", True), seed=0, budget=Budget(steps=60), capacity=capacity)
    for event in prefix:
        if isinstance(event.payload, RunStarted):
            event.payload = started
        forked.log.append(event)
        if isinstance(event.payload, NAMES[name].reads):
            forked.states[0] = NAMES[name].evolve(forked.states[0], event)
    forked._count = 10_000
    forked.say(RunForked(parent="r", position=len(prefix), hash="h"))
    open_ = [p.attempt for p in forked.all(StepPlanned) if p.attempt not in done]
    assert open_ or forked.all(SearchEnded)
    if name == "random":
        assert len(open_) >= capacity or forked.all(SearchEnded) or "" in forked.states[0].tree.dry
    for outcome, pick, number in told[at:]:
        open_ = [p.attempt for p in forked.all(StepPlanned) if p.attempt not in done]
        if not open_:
            assert len(forked.all(SearchEnded)) == 1
            break
        done[picked := open_[pick % len(open_)]] = outcome
        happen(forked, picked, outcome, 0.5 + number / 100 + 0.001)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_fork_before_the_profile_waits_for_it(name: str) -> None:
    run = Driver(NAMES[name])
    run.say(RunStarted(task=some_task(), seed=1, capacity=2, budget=Budget(steps=9)))
    assert run.say(RunForked(parent="r", position=1, hash="h")) == []
    assert run.say(PROFILED) != []

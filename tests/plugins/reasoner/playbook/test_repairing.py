"""Repairs of failed solutions and crossings of several, as proposals of the playbook."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.events import AttemptRejected, Hypothesis, StepPlanned
from gome.events.pipeline import apply_change, check_task, read_pipeline
from gome.kernel.reasoning import Proposal, ReasonContext
from gome.plugins.reasoner.playbook.facts import read_facts
from gome.plugins.reasoner.playbook.families import member
from gome.plugins.reasoner.playbook.moves.repairing import lighter, repair
from gome.plugins.reasoner.playbook.propose import propose
from tests.plugins.reasoner.playbook.playing import Game

FAILURES = ("time", "memory", "killed", "syntax", "import", "data", "numeric", "contract", "")


def planned(game: Game, name: str, kind: str, parent: str = "", parents: tuple[str, ...] = ()) -> ReasonContext:
    """Plan a step of a kind on named attempts."""
    game.say(StepPlanned(name, trace=0, step=game.seq, kind=cast(Any, kind), parent=parent, parents=parents))
    return game.context(name)


def opened(game: Game, change: dict[str, Any] | None = None) -> Proposal:
    """A first attempt `a1` that is accepted, and what was proposed for `a2` on it."""
    first = propose(game.plan("a1"))
    assert first
    game.finish("a1", change or first.hypothesis.change, 0.13, proposal=first)
    second = propose(game.plan("a2"))
    assert second
    return second


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_attempt_is_repaired_by_another_program_until_it_runs(failure: str) -> None:
    game = Game()
    broken = game.fail("a2", opened(game), failure)
    seen = {repr(broken)}
    for number in range(3, 9):
        context = planned(game, f"a{number}", "debug", f"a{number - 1}")
        found = propose(context)
        assert found and found.hypothesis.move.startswith("repair:")
        assert [c.name for c in found.challenges] == ["does not run"]
        assert f"a{number - 1}" in found.hypothesis.statement
        pipeline = game.fail(f"a{number}", found, failure)
        check_task(pipeline, game.task)
        assert repr(pipeline) not in seen
        seen.add(repr(pipeline))


@pytest.mark.parametrize("failure", ["time", "memory"])
def test_what_ran_out_of_time_or_memory_is_made_lighter_first(failure: str) -> None:
    game = Game()
    change = {"pipeline": {"members": [{"model": {"family": "booster", "rounds": 4000}}]}}
    game.fail("a2", replace(opened(game), hypothesis=as_it_is(change)), failure)
    found = propose(planned(game, "a3", "debug", "a2"))
    assert found and f"ran out of {failure}" in found.hypothesis.statement
    before = game.trajectory.attempts["a2"].code
    assert before
    after = apply_change(before.spec, found.hypothesis.change)
    assert getattr(after.members[0].model, "rounds", 0) < 4000


def as_it_is(change: dict[str, Any]) -> Hypothesis:
    """A hypothesis that makes just this change."""
    return Hypothesis(statement="as it is", component="model", change=change)


def test_an_attempt_without_a_program_is_repaired_on_what_it_was_built_on() -> None:
    game = Game()
    opened(game)
    game.say(AttemptRejected("a2", reason="duplicate of a1", failure="code"))
    context = planned(game, "a3", "debug", "a2")
    assert read_facts(context).stand_in == "a1" and read_facts(context).broken is None
    found = propose(context)
    assert found and set(found.hypothesis.change) == {"pipeline"}, "the mutator knows no program of a2"
    apply_change({}, found.hypothesis.change)


def test_a_refused_attempt_that_has_a_score_is_improved_on_like_any_other() -> None:
    game = Game()
    second = opened(game)
    game.finish("a2", second.hypothesis.change, 0.14, accepted=False, proposal=second)
    found = propose(planned(game, "a3", "improve", "a2"))
    assert found and not found.hypothesis.move.startswith("repair")
    assert read_facts(game.context("a3")).score == 0.14


def test_a_crossover_joins_what_both_parents_have() -> None:
    game = Game()
    second = opened(game, {"pipeline": {"members": [{"model": {"family": "ridge"}}]}})
    game.finish("a2", {"pipeline": {"members": [{"model": {"family": "svm"}}]}}, 0.12, proposal=second)
    found = propose(planned(game, "a3", "crossover", "a1", ("a2",)))
    assert found and found.hypothesis.move.startswith("cross:") and "a2" in found.hypothesis.statement
    code = game.trajectory.attempts["a1"].code
    assert code
    assert len(apply_change(code.spec, found.hypothesis.change).members) == 2


def test_a_fusion_without_a_parent_opens_a_branch_from_the_others() -> None:
    game = Game()
    second = opened(game, {"pipeline": {"members": [{"model": {"family": "ridge"}}]}})
    game.finish("a2", {"pipeline": {"members": [{"model": {"family": "svm"}}]}}, 0.12, proposal=second)
    found = propose(planned(game, "a3", "fusion", "", ("a1", "a2")))
    assert found and found.hypothesis.move.startswith("cross:new of")
    assert len(read_pipeline(found.hypothesis.change["pipeline"]).members) == 2


def test_an_evolution_makes_another_kind_of_change_than_its_lineage() -> None:
    game = Game()
    second = opened(game)
    game.finish("a2", second.hypothesis.change, 0.12, proposal=second)
    improved = propose(planned(game, "a3", "improve", "a2"))
    game.finish("a3", improved.hypothesis.change if improved else {}, 0.119, proposal=improved)
    facts = read_facts(planned(game, "a4", "evolution", "a3"))
    assert len(facts.tried) == 3
    found = propose(game.context("a4"))
    assert found and found.hypothesis.move.partition("@")[0].partition(":")[0] not in {*facts.tried, "tune"}


@given(st.sampled_from(["booster", "hist_booster", "trees", "mlp", "ridge", "svm", "knn"]), st.integers(1, 12))
def test_making_a_member_lighter_ends_after_a_few_times(family: str, bag: int) -> None:
    spec: Any = {**member(_facts(), family), "bag": bag}
    for _ in range(16):
        found = lighter(spec)
        if found is None:
            return
        read_pipeline({"members": [found]})
        assert found != spec
        spec = found
    raise AssertionError(f"{family} is still getting lighter: {spec}")


def _facts() -> Any:
    game = Game()
    return read_facts(game.plan("a1"))


def test_nothing_is_repaired_that_is_not_broken() -> None:
    assert list(repair(_facts())) == []

"""What the playbook makes of a narrow scope: what it believes from it, and that its moves stay the same."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gome.events import Draw, MemoryRecalled, Recollection, StepPlanned
from gome.kernel.reasoning import ReasonContext, shown
from gome.plugins.reasoner.playbook.believe import evidence
from gome.plugins.reasoner.playbook.facts import read_facts
from gome.plugins.reasoner.playbook.propose import propose
from tests.plugins.reasoner.playbook.test_loop import grown

LIBRARY = {"booster", "svm", "knn", "ridge", "huber"}


def planned(context: str, parent: str = "a4", recalled: str = "", **loop: bool) -> ReasonContext:
    """A step of a scope on the run of `grown`, as the kernel shows it."""
    game = grown()
    kind = context.partition(".")[2] or "improve"
    game.say(StepPlanned("a6", 0, 6, kind=cast(Any, kind), parent=parent, context=context))
    if recalled:
        game.say(MemoryRecalled("a6", (Recollection(recalled, 1.0, 0.9, 0.001, "s", "draft svm@svm", True),)))
    started = game.trajectory.started
    assert started
    started.settings["loop"] = loop
    return shown("a6", game.trajectory.snapshot(), started, Draw(1, "e"), {}, cast(Any, None))


def believed(context: ReasonContext) -> set[str]:
    return {e.attempt for e in evidence(context)}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("aide.improve", {"a1", "a2", "a3", "a4", "a5"}),
        ("mlmaster.improve", {"a4", "a5"}),
        ("mlevolve.evolution", {"a1", "a4", "a5"}),
        ("random.improve", {"a4"}),
    ],
)
def test_evidence_is_what_the_scope_shows(scope: str, expected: set[str]) -> None:
    assert believed(planned(scope)) == expected


@pytest.mark.parametrize("scope", ["aide.improve", "mlmaster.improve", "mlevolve.evolution", "random.improve", ""])
def test_whatever_was_fitted_may_be_blended_and_what_exists_is_not_proposed_again(scope: str) -> None:
    facts = read_facts(planned(scope))
    assert {m.family for m in facts.library} == LIBRARY
    assert all(m.score is not None and m.seconds is not None for m in facts.library), "how good alone, what it cost"
    assert len(facts.known) == 5


def test_only_a_scope_that_shows_the_parents_output_shows_its_diagnostics() -> None:
    whole, program = read_facts(planned("mlmaster.improve")), read_facts(planned("aide.improve"))
    assert whole.diagnostics["members"] and program.diagnostics == {"scorer": {}}
    assert [m.spec for m in whole.members] == [m.spec for m in program.members]
    assert whole.score == program.score == 0.12
    assert any(m.importance for m in whole.members) and not any(m.importance for m in program.members)


def test_what_the_memory_recalled_counts_as_told_where_the_scope_has_memory() -> None:
    told = [e for e in evidence(planned("mlevolve.improve", recalled="a2")) if e.foreign]
    assert [e.attempt for e in told] == ["a2"]
    assert not [e for e in evidence(planned("mlevolve.evolution", recalled="a2")) if e.foreign]


def test_memory_of_the_own_trace_leaves_the_others_out_of_beliefs_and_blends() -> None:
    for scope in ("aide.improve", ""):
        context = planned(scope, recalled="", shared=False)
        assert believed(context) == {"a1", "a3", "a4", "a5"}
        assert {m.family for m in read_facts(context).library} == LIBRARY - {"svm"}


def test_a_step_without_memory_goes_by_its_parent_alone() -> None:
    context = planned("aide.improve", memory=False)
    assert believed(context) == {"a4"}
    found = propose(context)
    assert found and not found.hypothesis.learnt_from


def test_a_search_of_many_drafts_does_not_run_out_of_them() -> None:
    game = grown()
    started = game.trajectory.started
    assert started
    seen = set()
    for number in range(6, 20):
        game.say(StepPlanned(f"a{number}", number, 1, context="mlmaster.draft"))
        context = shown(f"a{number}", game.trajectory.snapshot(), started, Draw(1, "e"), {}, cast(Any, None))
        found = propose(context)
        assert found, number
        seen.add(repr(found.hypothesis.change))
        game.finish(f"a{number}", found.hypothesis.change, 0.14, accepted=False, proposal=found)
    assert len(seen) == 14

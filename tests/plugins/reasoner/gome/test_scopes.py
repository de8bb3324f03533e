"""What prompts show of a run where a tree search narrows the scope of a step."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gome.events import Hypothesis, HypothesisProposed, ProposalRequested, Recollection, StepPlanned
from gome.kernel.errors import PluginError
from tests.plugins.reasoner.gome.thinking import SCORES, Run, Script, script, two_traces

pytestmark = pytest.mark.anyio
RIDGE, TREES, LOGS = "Ridge on scaled numbers.", "Boosted trees on raw columns.", "Learn the logarithm of the price."
RARE, ENCODING = "Drop rare levels.", "Target encoding."


def planned(run: Run, context: str, parent: str = "", parents: tuple[str, ...] = ()) -> None:
    """Plan `a6` in a scope."""
    kind = context.partition(".")[2]
    run.say(StepPlanned("a6", 0, 6, kind=cast(Any, kind), parent=parent, parents=parents, context=context))


async def shown(context: str, parent: str = "", parents: tuple[str, ...] = (), **settings: Any) -> tuple[Script, str]:
    """The model's double after a proposal, and the prompt for the hypotheses."""
    run, call = two_traces(**settings), script()
    call.recollections = (Recollection("a2", 0.7, statement="Boosted trees."),)
    planned(run, context, parent, parents)
    await run.propose("a6", call)
    return call, call.prompt("hypotheses")


async def test_an_improvement_of_aide_sees_good_attempts_and_the_program_but_no_output() -> None:
    call, text = await shown("aide.improve", "a3")
    assert RIDGE in text and TREES in text and RARE in text, "whatever has a score, of any branch"
    assert ENCODING not in text, "failures are invisible"
    assert f"# {LOGS}" in text and "diagnostics:" not in text and "gap" not in text
    assert call.recalled == [], "the summary is all of its memory"


async def test_a_repair_of_aide_sees_what_broke_and_how_and_nothing_else() -> None:
    _, text = await shown("aide.debug", "a5")
    assert f"# {ENCODING}" in text and "KeyError: 'Zoning'" in text
    assert not any(other in text for other in (RIDGE, TREES, LOGS, RARE))


async def test_siblings_are_shown_with_their_failures_and_the_parent_with_its_diagnostics() -> None:
    _, text = await shown("mlmaster.improve", "a3")
    assert RARE in text and ENCODING in text and "failed (data)" in text
    assert "KeyError" not in text, "that it failed is all that is said of a sibling"
    assert "gap" in text and RIDGE not in text and TREES not in text


async def test_memory_across_branches_is_asked_where_the_scope_has_it_and_the_loop_leaves_it() -> None:
    call, _ = await shown("mlevolve.improve", "a3")
    assert len(call.recalled) == 1 and "Boosted trees" in call.prompt("selection")
    for settings in ({"loop": {"memory": False}}, {}):
        call, _ = await shown("mlevolve.evolution" if not settings else "mlevolve.improve", "a3", **settings)
        assert call.recalled == []


async def test_a_random_step_sees_nothing_but_its_parent() -> None:
    _, text = await shown("random.improve", "a3")
    assert f"# {LOGS}" in text and not any(other in text for other in (RIDGE, TREES, RARE, ENCODING))
    _, text = await shown("random.draft")
    assert not any(other in text for other in (RIDGE, TREES, LOGS, RARE, ENCODING))


@pytest.mark.parametrize(("parent", "words"), [("a1", "stays the base"), ("", "make one new solution")])
async def test_a_fusion_joins_its_references_with_a_parent_or_without(parent: str, words: str) -> None:
    way = {"statement": "Average both.", "component": "ensemble", "reason": "They differ.", "scores": SCORES}
    run, call = two_traces(), script(merge={"hypotheses": [way]})
    planned(run, "mlevolve.fusion", parent, ("a2", "a3"))
    said = await run.propose("a6", call)
    text = call.prompt("merge")
    assert words in text and f"# {TREES}" in text and f"# {LOGS}" in text
    assert said.hypothesis.learnt_from == (*((parent,) if parent else ()), "a2", "a3")


async def test_the_reviewer_sees_the_attempt_and_its_parent_under_every_scope() -> None:
    run, call = two_traces(), script()
    planned(run, "aide.improve", "a3")
    run.say(HypothesisProposed("a6", Hypothesis("Deeper trees.", "model")))
    run.finish("a6", 0.14, judged=False, statement="Deeper trees.")
    await run.reflect("a6", call)
    text = call.prompt("feedback")
    assert "Deeper trees." in text and LOGS in text and "gap" in text and TREES not in text


async def test_a_scope_that_nobody_knows_is_the_searchs_mistake_and_said_so() -> None:
    run = two_traces()
    planned(run, "my-search.improve", "a3")
    with pytest.raises(PluginError, match=r"planned a6 badly: no scope is called 'my-search\.improve'"):
        await run.perform(ProposalRequested("a6", 0, "a3", "improve"), script())

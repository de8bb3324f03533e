"""MLEvolve's retrieval memory: what its improvements and repairs are told, and that nobody else is told otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    Draw,
    ExecutionFinished,
    Hypothesis,
    HypothesisProposed,
    Payload,
    RecallRequested,
    Recollection,
    RunStarted,
    StepPlanned,
    SubmissionScored,
)
from gome.kernel.discovery import pin
from gome.plugins.memory.kernel import plugin
from gome.plugins.memory.kernel.recall import work
from gome.plugins.memory.kernel.settings import Settings
from tests.plugins.driver import Driver, some_task
from tests.plugins.memory.stories import folded

Node = tuple[str, str, str, float | None]
"""An attempt: its parent, its idea, the message that it failed with ("" if it did not) and its score."""


def tree(nodes: Sequence[Node], *, greater: bool = True, judge: bool = True) -> list[Payload]:
    """A run of attempts a1, a2, … that went their whole way. `judge`: scored ones are accepted."""
    task = some_task("roc_auc" if greater else "rmse", greater)
    said: list[Payload] = [RunStarted(task=task, seed=3, plugins=(pin(plugin),))]
    for number, (parent, idea, message, score) in enumerate(nodes, start=1):
        name = f"a{number}"
        said += [
            StepPlanned(name, 0, step=number, parent=parent),
            HypothesisProposed(name, Hypothesis(idea, "features")),
            ExecutionFinished(name, "full", not message, failure="data" if message else "", error=message),
        ]
        if score is not None:
            said.append(SubmissionScored(name, "full", score))
        failed = AttemptRejected(name, failure="data" if message else "", reason=message)
        said.append(AttemptAccepted(name) if score is not None and judge else failed)
    return said


def asking(said: Sequence[Payload], step: StepPlanned) -> RecallRequested:
    """What the memory is asked for a step."""
    run = Driver(plugin)
    for payload in said:
        run.say(payload)
    (asked,) = run.say(step)
    assert isinstance(asked, RecallRequested)
    return asked


def told(
    said: list[Payload], context: str, parent: str, queries: tuple[str, ...] = (), limit: int = 0, **settings: Any
) -> tuple[Recollection, ...]:
    """What a step is told: where `queries` are given, by a reasoner that asks about them."""
    step = StepPlanned("x", 0, step=99, parent=parent, context=context)
    asked = asking(said, step)
    if queries:
        asked = RecallRequested("x", 0, parent, position=99, memory="", queries=queries, limit=limit)
    _, trajectory = folded([*said, step])
    answer, _ = work(asked, trajectory, Settings(**settings), some_task(), (), Draw(0, "e"))
    return answer.recollections


def names(found: Sequence[Recollection]) -> list[str]:
    return [r.attempt for r in found]


IDEAS: list[Node] = [
    ("", "fit a booster", "", 0.70),
    ("a1", "add the ratio of areas", "", 0.75),
    ("a1", "add ages from years", "", 0.65),
    ("a1", "encode streets by the target", "", 0.74),
    ("a1", "encode districts by the target", "", 0.60),
    ("a1", "encode names by the target", "", 0.70),
    ("a1", "add the ratio of rooms", "", 0.72),
    ("a1", "encode zones by the target", "", 0.69),
]


def test_an_improvement_is_told_of_two_successes_and_two_failures_that_are_most_like_its_idea() -> None:
    said = tree(IDEAS)
    found = told(said, "mlevolve.improve", "a1", ("encode cities by the target",), limit=12)
    assert names(found)[0] == "a4" and names(found)[1] in ("a1", "a2", "a7")
    assert sorted(names(found)[2:]) == ["a5", "a8"] and all(r.gain < 0 for r in found[2:])
    assert "a6" not in names(found), "what came out as its parent did is neither"
    other = told(said, "mlevolve.improve", "a1", ("add the ratio of prices",), limit=12)
    assert sorted(names(other)[:2]) == ["a2", "a7"]


def test_the_standing_question_asks_with_the_traces_latest_idea_for_as_many_as_there_can_be() -> None:
    said = tree(IDEAS)
    asked = asking(said, StepPlanned("x", 0, step=9, parent="a1", context="mlevolve.improve"))
    assert "zones" in asked.query and asked.limit == 4
    assert names(told(said, "mlevolve.improve", "a1"))[0] == "a4"


def test_weights_are_fused_scores_best_first() -> None:
    found = told(tree(IDEAS), "mlevolve.improve", "a1", ("encode streets by the target",), limit=12)
    assert found[0].weight == pytest.approx(1 / 61, abs=1e-9), "it leads both rankings"
    assert found[0].similarity == pytest.approx(max(r.similarity for r in found))
    assert found[0].weight >= found[1].weight and found[2].weight >= found[3].weight


@pytest.mark.parametrize("greater", [True, False])
def test_what_is_a_success_goes_by_the_score_in_the_metrics_direction_and_not_by_the_verdict(greater: bool) -> None:
    nodes: list[Node] = [("", "fit a booster", "", 0.7), ("a1", "one", "", 0.8), ("a1", "two", "", 0.6)]
    found = told(tree(nodes, greater=greater, judge=False), "mlevolve.improve", "a1", limit=12)
    better, worse = ("a2", "a3") if greater else ("a3", "a2")
    assert set(names(found)[:2]) == {"a1", better} and names(found)[2:] == [worse]
    assert not any(r.accepted for r in found), "a recollection keeps the judge's verdict"


def test_attempts_without_a_score_are_no_records() -> None:
    nodes: list[Node] = [("", "fit a booster", "", 0.7), ("a1", "one", "KeyError: 'x'", None)]
    assert names(told(tree(nodes), "mlevolve.improve", "a1")) == ["a1"]


REPAIRS: list[Node] = [
    ("", "fit a booster", "", 0.7),
    ("a1", "one", "KeyError: 'GarageArea' is no column", None),
    ("a2", "take the column's name from the table", "", 0.71),
    ("a1", "two", "MemoryError: Unable to allocate 9 GiB", None),
    ("a4", "use fewer bins", "", 0.69),
    ("a1", "three", "ValueError: Input contains NaN", None),
    ("a6", "fill what is missing", "", 0.72),
    ("a1", "four", "KeyError: 'PoolArea' is no column", None),
]


@pytest.mark.parametrize("queries", [(), ("fill what is missing",)])
def test_a_repair_is_told_of_two_repairs_of_errors_like_its_own_whatever_its_idea(queries: tuple[str, ...]) -> None:
    found = told(tree(REPAIRS), "mlevolve.debug", "a8", queries, limit=12)
    assert len(found) == 2 and found[0].attempt == "a3"
    assert found[0].statement == "take the column's name from the table"


def test_the_standing_question_of_a_repair_is_the_error() -> None:
    asked = asking(tree(REPAIRS), StepPlanned("x", 0, step=9, parent="a8", context="mlevolve.debug"))
    assert asked.query == "data KeyError: 'PoolArea' is no column" and asked.limit == 2


def test_a_limit_is_kept() -> None:
    assert len(told(tree(IDEAS), "mlevolve.improve", "a1", ("encode",), limit=3)) == 3
    run = Driver(plugin)
    started = tree(IDEAS)[0]
    assert isinstance(started, RunStarted)
    started.settings["kernel"] = {"limit": 1}
    run.say(started)
    (asked,) = run.say(StepPlanned("a1", 0, step=1, context="mlevolve.improve"))
    assert isinstance(asked, RecallRequested) and asked.limit == 1


def test_memory_that_reaches_over_the_own_trace_only_tells_of_nothing_else() -> None:
    said = tree(IDEAS)
    step = StepPlanned("x", 1, step=1, context="mlevolve.improve")
    _, trajectory = folded([*said, step])
    asked = asking(said, step)
    assert work(asked, trajectory, Settings(), some_task(), (), Draw(0, "e"), "shared")[0].recollections
    assert not work(asked, trajectory, Settings(), some_task(), (), Draw(0, "e"), "own")[0].recollections


@pytest.mark.parametrize("context", ["", "gradient.improve"])
def test_other_scopes_ask_the_kernels_memory(context: str) -> None:
    asked = asking(tree(IDEAS), StepPlanned("x", 0, step=9, parent="a1", context=context))
    assert asked.limit == 12 and not asked.memory.startswith("retrieval")


def test_the_two_memories_are_never_asked_the_same_question() -> None:
    said = tree(IDEAS)
    for payload in said[:1]:
        assert isinstance(payload, RunStarted)
        payload.settings["kernel"] = {"limit": 4}
    ours, theirs = (asking(said, StepPlanned("x", 0, 9, parent="a1", context=c)) for c in ("mlevolve.improve", ""))
    assert ours.query == theirs.query and ours.limit == theirs.limit and ours.memory != theirs.memory


def test_a_run_that_began_before_there_was_a_retrieval_memory_goes_on_with_the_kernels() -> None:
    said = tree(IDEAS)
    started = said[0]
    assert isinstance(started, RunStarted)
    said[0] = RunStarted(task=started.task, seed=3)
    step = StepPlanned("x", 0, step=9, parent="a1", context="mlevolve.improve")
    asked = asking(said, step)
    assert asked.limit == 12
    _, trajectory = folded([*said, step])
    answer, _ = work(asked, trajectory, Settings(), some_task(), (), Draw(0, "e"))
    assert len(answer.recollections) > 4

"""Feedback in three layers, the analysis of the task, and an order of candidates."""

from __future__ import annotations

import pytest

from gome.events import Candidate, CompletionFailed, OpinionGiven, OpinionRequested
from gome.kernel.completing import CompletionUnavailable, ReplyUnusable
from gome.plugins.reasoner.gome import plugin
from gome.plugins.reasoner.gome.events import ScenarioAnalysed, ScenarioFailed, ScenarioRequested
from tests.plugins.reasoner.gome.thinking import VERDICT, Run, script, two_traces

pytestmark = pytest.mark.anyio


def scored() -> Run:
    """The fixed run with an attempt that waits for feedback."""
    run = two_traces()
    run.plan("a6", 0)
    run.finish("a6", 0.14, judged=False, statement="Boost on logs.")
    return run


async def test_an_attempt_that_holds_in_all_layers_is_recommended_with_its_lesson() -> None:
    call = script()
    said = await scored().reflect("a6", call)
    assert said.accept and said.aligned
    assert said.reason == "analysis: Better in all folds." and said.lesson.startswith("A log target")
    assert call.asked[0].role == "judge" and call.names == ["feedback"]


@pytest.mark.parametrize(
    ("changed", "accept", "aligned", "layer"),
    [
        ({"format_valid": False}, False, True, "format"),
        ({"aligned": False}, False, False, "alignment"),
        ({"better": False}, False, True, "analysis"),
        ({"format_valid": False, "aligned": False}, False, False, "format"),
    ],
)
async def test_the_first_layer_that_fails_gives_the_reason(
    changed: dict[str, bool], accept: bool, aligned: bool, layer: str
) -> None:
    said = await scored().reflect("a6", script(feedback={**VERDICT, **changed}))
    assert (said.accept, said.aligned) == (accept, aligned) and said.reason.startswith(f"{layer}: ")


async def test_what_the_reply_leaves_out_counts_as_the_worse_answer() -> None:
    said = await scored().reflect("a6", script(feedback={"observations": "It ran."}))
    assert not said.accept and not said.aligned and said.reason == "format: no ground was given"


async def test_the_first_valid_and_aligned_solution_of_a_trace_needs_no_better() -> None:
    run = Run()
    run.plan("a1")
    run.finish("a1", 0.3, judged=False)
    said = await run.reflect("a1", script(feedback={**VERDICT, "better": False}))
    assert said.accept


async def test_the_judge_is_shown_what_changed_and_the_paired_difference() -> None:
    call = script()
    await scored().reflect("a6", call)
    shown = call.prompt("feedback")
    assert "-# Learn the logarithm of the price." in shown and "+# Boost on logs." in shown
    assert "better by 0.01 ± 0.002, in 2 of 3 folds" in shown
    assert "rmsle was 0.15 and is 0.14; lower is better" in shown


@pytest.mark.parametrize(
    ("reply", "error"),
    [("Fine.", ReplyUnusable), (CompletionFailed("feedback", "server", "down"), CompletionUnavailable)],
)
async def test_feedback_that_cannot_be_had_is_the_effects_failure_at_the_first_try(
    reply: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await scored().reflect("a6", script(feedback=reply))
    attempts = {e.intent.__name__: e.attempts for e in plugin.effects}
    assert attempts["ReflectionRequested"] == attempts["OpinionRequested"] == 1


async def test_the_analysis_of_the_task_becomes_a_text_for_later_prompts() -> None:
    run, call = Run(), script()
    said = await run.perform(ScenarioRequested(1), call)
    assert isinstance(said, ScenarioAnalysed)
    text = str(said.text)
    assert text.startswith("Problem: Predict the price") and "- The year of sale leaks." in text and said.text.ref
    assert "What went wrong" not in call.prompt("scenario") and call.asked[0].attempt == ""
    run.plan("a1")
    later = script()
    await run.propose("a1", later, scenario=text)
    assert "- The year of sale leaks." in later.prompt("hypotheses")


async def test_a_second_reading_is_shown_the_failures() -> None:
    run = Run()
    for name in ("a1", "a2", "a3"):
        run.plan(name)
        run.finish(name, None, accepted=False, failure="memory", reason="killed at 4 GB")
    call = script()
    await run.perform(ScenarioRequested(2), call)
    assert call.prompt("scenario").count("killed at 4 GB") == 3


async def test_an_analysis_that_cannot_be_had_is_told_and_ends_nothing() -> None:
    said = await Run().perform(ScenarioRequested(1), script(scenario=CompletionFailed("scenario", "timeout", "slow")))
    assert said == ScenarioFailed(1, "call scenario: slow")


async def test_candidates_are_put_in_the_models_order() -> None:
    run = two_traces()
    asked = OpinionRequested((Candidate("a3", 0.15, 0.0, 0.002, reruns=3), Candidate("a2", 0.18), Candidate("a1", 0.2)))
    wrong, right = {"reason": "r", "order": [1, 1, 2]}, {"reason": "It is simpler.", "order": [2, 1, 3]}
    call = script(pick=[wrong, right])
    said = await run.perform(asked, call)
    assert said == OpinionGiven(("a2", "a3", "a1"), "It is simpler.")
    assert "each of the numbers 1 to 3 once" in call.repair("pick")
    shown = call.prompt("pick")
    assert "candidate 1, score 0.15\nmean of 3 runs" in shown and "Boosted trees on raw columns." in shown


async def test_of_one_candidate_nobody_is_asked() -> None:
    call = script()
    assert await two_traces().perform(OpinionRequested((Candidate("a3", 0.15),)), call) == OpinionGiven(
        ("a3",), "there is only one candidate"
    )
    assert call.names == []

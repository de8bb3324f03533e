"""Proposals: which calls are made, what is checked and sent back, how a hypothesis is chosen and what it keeps."""

from __future__ import annotations

import pytest

from gome.events import Budget, CompletionFailed, ProposalFailed, Recollection, Scores, StepPlanned
from tests.plugins.reasoner.gome.thinking import (
    SCORES,
    Run,
    challenges,
    hypotheses,
    hypothesis,
    script,
    two_traces,
)

pytestmark = pytest.mark.anyio
SCORED = Scores(**{k: float(v) for k, v in SCORES.items()})
CHOICE = {"reason": "It pays most now.", "challenge": "weak features"}


def draft(**settings: object) -> Run:
    """A run whose first step is planned."""
    run = Run(**settings)  # type: ignore[arg-type]
    run.plan("a1")
    return run


def improving(**settings: object) -> Run:
    """The fixed run with a step planned on its first trace."""
    run = two_traces(**settings)
    run.plan("a6", 0)
    return run


async def test_a_draft_asks_for_scenario_challenges_hypotheses_a_choice_and_a_sketch() -> None:
    call = script()
    said = await draft().propose("a1", call)
    assert call.names == ["scenario_challenges", "hypotheses", "selection", "sketch"]
    assert said.hypothesis.change == {"sketch": "### Model\nRidge on logs."} and said.chosen == "select"
    assert [c.name for c in said.challenges] == ["skewed target", "weak features"]
    assert said.challenges[0].weight == 0.5 and "figures say so" in said.challenges[0].evidence
    assert [h.problem for h in said.considered] == ["weak features"] and said.considered[0].scores == SCORED
    assert {a.role for a in call.asked} == {"researcher"} and {a.attempt for a in call.asked} == {"a1"}


async def test_with_some_experience_both_kinds_of_challenges_are_asked_for() -> None:
    call = script()
    await improving().propose("a6", call)  # two accepted and two others: n = 5
    assert call.names == ["scenario_challenges", "feedback_challenges", "hypotheses", "selection", "sketch"]


async def test_a_step_that_repairs_a_failed_attempt_looks_at_feedback_only() -> None:
    run = Run()
    run.plan("a1")
    run.finish("a1", None, accepted=False, failure="memory", reason="killed at 4 GB")
    run.say(StepPlanned("a2", 0, 2, kind="debug", parent="a1"))
    call = script()
    await run.propose("a2", call)
    assert call.names[0] == "feedback_challenges" and "scenario_challenges" not in call.names
    assert "import pandas as pd" in call.prompt("hypotheses") and "killed at 4 GB" in call.prompt("hypotheses")


async def test_with_much_experience_only_feedback_counts() -> None:
    run = Run()
    for i in range(8):
        run.plan(f"a{i}")
        run.finish(f"a{i}", 0.3 - i / 100)
    run.plan("a9")
    call = script()
    await run.propose("a9", call)
    assert call.names[0] == "feedback_challenges"


async def test_a_hypothesis_for_a_challenge_that_nobody_named_is_sent_back_with_the_reason() -> None:
    call = script(hypotheses=[hypotheses(hypothesis("made up")), hypotheses(hypothesis(" Skewed  TARGET"))])
    said = await draft().propose("a1", call)
    assert said.hypothesis.problem == "skewed target", "case and spaces of a caption do not matter"
    assert "there is no challenge 'made up'" in call.repair("hypotheses")
    assert "skewed target; weak features" in call.repair("hypotheses")


async def test_hypotheses_of_a_new_root_touch_different_components() -> None:
    alike = hypotheses(hypothesis("skewed target", "model"), hypothesis("weak features", "model"))
    apart = hypotheses(hypothesis("skewed target", "model"), hypothesis("weak features", "features"))
    call = script(hypotheses=[alike, apart])
    await draft().propose("a1", call)
    assert "the component model stands 2 times" in call.repair("hypotheses")
    late = script(hypotheses=alike)
    await improving().propose("a6", late)
    assert late.names.count("hypotheses") == 1, "later on the best idea may be the second of its kind"


async def test_two_hypotheses_for_one_challenge_are_sent_back() -> None:
    twice = hypotheses(hypothesis("skewed target"), hypothesis("skewed target", "data"))
    call = script(hypotheses=[twice, hypotheses(hypothesis("skewed target"))])
    await draft().propose("a1", call)
    assert "stands twice" in call.repair("hypotheses")


async def test_scores_outside_one_to_ten_are_sent_back() -> None:
    call = script(
        hypotheses=[hypotheses(hypothesis("skewed target", impact=11)), hypotheses(hypothesis("skewed target"))]
    )
    await draft().propose("a1", call)
    assert "impact" in call.repair("hypotheses")


async def test_a_modified_hypothesis_keeps_problem_reason_and_scores() -> None:
    choice = {**CHOICE, "action": "modify", "statement": "Do it better.", "component": None, "scores": None}
    said = await draft().propose("a1", script(selection=choice))
    h = said.hypothesis
    assert (h.problem, h.statement, h.component) == ("weak features", "Do it better.", "features")
    assert h.reason == "It pays most now." and h.scores == SCORED and said.chosen == "modify"
    assert [c.problem for c in said.considered] == ["skewed target"]


async def test_a_created_hypothesis_has_problem_reason_and_scores_of_its_own_and_passes_over_all() -> None:
    own = dict.fromkeys(SCORES, 9)
    choice = {**CHOICE, "action": "create", "statement": "Join both.", "component": "ensemble", "scores": own}
    said = await draft().propose("a1", script(selection=choice))
    h = said.hypothesis
    assert (h.problem, h.reason, h.scores.impact) == ("weak features", "It pays most now.", 9.0)
    assert said.chosen == "create" and len(said.considered) == 2


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({**CHOICE, "action": "create", "statement": "New.", "component": "model"}, "needs component and scores"),
        ({**CHOICE, "action": "modify"}, "needs the change in full"),
        ({**CHOICE, "action": "select", "challenge": "made up"}, "there is no challenge 'made up'"),
        ({**CHOICE, "action": "select", "remembered": [4]}, "from 1 to 0"),
        ("I would take the first one.", "holds no JSON value"),
    ],
)
async def test_a_choice_that_cannot_be_meant_is_sent_back(wrong: object, why: str) -> None:
    call = script(selection=[wrong, {**CHOICE, "action": "select"}])
    said = await draft().propose("a1", call)
    assert why in call.repair("selection") and said.hypothesis.problem == "weak features"


async def test_a_candidate_that_was_not_proposed_cannot_be_selected() -> None:
    call = script(
        hypotheses=hypotheses(hypothesis("skewed target")),
        selection=[{**CHOICE, "action": "select"}, {**CHOICE, "action": "select", "challenge": "skewed target"}],
    )
    await draft().propose("a1", call)
    assert "no candidate answers 'weak features'" in call.repair("selection")


async def test_the_memory_is_asked_with_all_candidates_and_what_is_built_on_is_recorded() -> None:
    call = script(selection={**CHOICE, "action": "select", "remembered": [2, 1, 2]})
    call.recollections = (
        Recollection("a2", 0.7, gain=0.02, statement="Boosted trees."),
        Recollection("a4", 0.1, statement="Drop rare levels.", accepted=False),
    )
    said = await improving().propose("a6", call)
    (asked,) = call.recalled
    assert [q.split(" Do ")[0] for q in asked.queries] == ["target skewed target", "features weak features"]
    assert said.hypothesis.learnt_from == ("a4", "a2")
    shown = call.prompt("selection")
    assert "memory 1 (accepted, score 0.18, gain 0.02): Boosted trees." in shown and "memory 2 (not accepted" in shown
    assert "a2" not in shown, "prompts name no attempts"


async def test_where_no_choice_can_be_had_the_ranking_decides() -> None:
    better = hypotheses(hypothesis("skewed target", "target"), hypothesis("weak features", "features", impact=9))
    call = script(hypotheses=better, selection="no")
    said = await draft().propose("a1", call)
    assert said.hypothesis.problem == "weak features" and said.chosen == "select"
    assert call.names.count("selection") == 3 and call.names[-1] == "sketch"


@pytest.mark.parametrize("rule", ["robust", "published"])
async def test_the_ranking_alone_may_choose_and_then_nobody_asks_memory_or_model(rule: str) -> None:
    better = hypotheses(hypothesis("skewed target", "target"), hypothesis("weak features", "features", impact=9))
    call = script(hypotheses=better)
    run = draft(gome={"selection": "ranking", "ranking": rule})
    said = await run.propose("a1", call)
    assert call.names == ["scenario_challenges", "hypotheses", "sketch"] and call.recalled == []
    if rule == "robust":
        assert said.hypothesis.problem == "weak features"


async def test_critique_and_rewrite_come_before_the_choice_where_they_are_switched_on() -> None:
    rewritten = hypotheses(hypothesis("skewed target", "target"), hypothesis("weak features", "features", impact=9))
    rewritten["hypotheses"][0]["statement"] = "Say it better."
    lacking = hypotheses(hypothesis("skewed target", "target"))
    critique = {"critiques": [{"challenge": "skewed target", "critique": "Too vague."}]}
    call = script(critique=critique, rewrite=[lacking, rewritten])
    run = two_traces(gome={"critique": True})
    run.plan("a6", 0)
    said = await run.propose("a6", call)
    assert call.names[2:] == ["hypotheses", "critique", "rewrite", "rewrite", "selection", "sketch"]
    assert said.hypothesis.statement == "Say it better."
    assert "look at weak features" in call.repair("rewrite")
    assert "critique: Too vague." in call.prompt("rewrite") and "critique: none was given" in call.prompt("rewrite")


async def test_nobody_criticises_the_first_hypotheses_and_a_failed_critique_keeps_them() -> None:
    call = script()
    await draft(gome={"critique": True}).propose("a1", call)
    assert "critique" not in call.names
    run = two_traces(gome={"critique": True})
    run.plan("a6", 0)
    said = await run.propose("a6", script(critique="no idea"))
    assert said.hypothesis.statement == "Do something about skewed target."


async def test_without_a_usable_sketch_the_hypothesis_is_the_plan() -> None:
    said = await draft().propose("a1", script(sketch="Sorry."))
    assert "Do something about skewed target." in said.hypothesis.change["sketch"]


async def test_one_kind_of_challenges_may_come_to_nothing() -> None:
    call = script(feedback_challenges="No idea.")
    said = await improving().propose("a6", call)
    assert [c.name for c in said.challenges] == ["skewed target", "weak features"]


@pytest.mark.parametrize(
    ("replies", "why"),
    [
        ({"scenario_challenges": "No idea."}, "call scenario_challenges: no usable reply after 2 repairs"),
        (
            {"hypotheses": CompletionFailed("hypotheses", "rate", "too many requests")},
            "call hypotheses: too many requests",
        ),
        ({"sketch": CompletionFailed("sketch", "auth", "wrong key", fatal=True)}, "call sketch: wrong key"),
    ],
)
async def test_a_proposal_that_cannot_be_had_fails_its_step_and_exhausts_nothing(
    replies: dict[str, object], why: str
) -> None:
    answer = await draft().ask("a1", script(**replies))
    assert isinstance(answer, ProposalFailed)
    assert why in answer.reason and not answer.exhausted


async def test_without_a_model_the_step_fails_with_what_to_set() -> None:
    answer = await draft(completion={}).ask("a1", script())
    assert isinstance(answer, ProposalFailed) and "--model" in answer.reason


@pytest.mark.parametrize(
    ("active", "words"),
    [(50.0, "hardly been touched"), (300.0, "learn from failures"), (750.0, "has to be `ensemble`")],
)
async def test_the_guidance_for_the_choice_follows_the_share_of_the_budget(active: float, words: str) -> None:
    run = two_traces(budget=Budget(seconds=1000.0))
    run.active = active
    run.plan("a6", 0)
    call = script("skewed target", hypotheses=hypotheses(hypothesis("skewed target", "ensemble")))
    await run.propose("a6", call)
    assert words in call.prompt("selection")


async def test_in_the_ensemble_stage_anything_but_an_ensemble_is_sent_back() -> None:
    run = two_traces(gome={"ensemble_from": 0.5})
    run.active = 600.0
    run.plan("a6", 0)
    own = {"action": "create", "statement": "Average.", "component": "ensemble", "scores": SCORES}
    call = script(selection=[{**CHOICE, "action": "select"}, {**CHOICE, **own}])
    said = await run.propose("a6", call)
    assert "has to be ensemble, not features" in call.repair("selection")
    assert said.hypothesis.component == "ensemble"
    assert "ran for about 20 s of a budget of 1000 seconds" in call.prompt("selection")


async def test_a_trace_with_nothing_accepted_is_shown_what_the_others_try_until_it_has_something() -> None:
    run = two_traces()
    run.plan("a6", 3)
    run.finish("a6", 0.3, judged=False, statement="A forest, still running.")
    run.plan("a7", 2)
    call = script()
    await run.propose("a7", call)
    for name in ("scenario_challenges", "hypotheses", "selection", "sketch"):
        shown = call.prompt(name)
        assert "Learn the logarithm of the price." in shown and "Boosted trees on raw columns." in shown, name
        assert "A forest, still running." in shown, name
    later = script()
    run.plan("a8", 1)
    await run.propose("a8", later)
    assert "A forest, still running." not in later.prompt("hypotheses")


async def test_siblings_can_be_switched_off() -> None:
    run = two_traces(gome={"siblings": False})
    run.plan("a6", 2)
    call = script()
    await run.propose("a6", call)
    assert "Boosted trees on raw columns." not in call.prompt("hypotheses")


async def test_a_merge_joins_the_accepted_ideas_and_names_all_parents() -> None:
    run = two_traces()
    run.plan("a6", 0, kind="merge", parents=("a2",))
    joined = {k: v for k, v in hypothesis("x", "ensemble").items() if k != "challenge"}
    best = {**joined, "statement": "Average both.", "scores": {**SCORES, "impact": 9}}
    call = script(merge={"hypotheses": [joined, best]})
    said = await run.propose("a6", call)
    assert call.names == ["merge", "sketch"]
    assert said.hypothesis.statement == "Average both." and said.hypothesis.learnt_from == ("a3", "a2")
    assert [h.statement for h in said.considered] == ["Do something about x."]
    shown = call.prompt("merge")
    assert "- Boosted trees on raw columns. (gain 0.01)" in shown and "score 0.18" in shown
    assert "Boosted trees on raw columns." in call.prompt("sketch"), "the plan is made with the other program in view"


async def test_without_diagnosis_one_call_goes_from_feedback_to_a_change() -> None:
    change = {"reason": "Because.", "statement": "Try trees.", "component": "model", "sketch": "### Trees"}
    call = script(change=change)
    run = two_traces(loop={"diagnosis": False})
    run.plan("a6", 0)
    said = await run.propose("a6", call)
    assert call.names == ["change"] and call.recalled == []
    assert said.challenges == () and said.considered == () and said.hypothesis.change == {"sketch": "### Trees"}
    assert said.hypothesis.scores == Scores() and said.hypothesis.problem == ""
    assert "Logs help with a skewed price." in call.prompt("change")


async def test_without_diagnosis_a_merge_still_sees_and_names_all_parents() -> None:
    change = {"reason": "Because.", "statement": "Average.", "component": "ensemble", "sketch": "### Mean"}
    run = two_traces(loop={"diagnosis": False})
    run.plan("a6", 0, kind="merge", parents=("a2",))
    call = script(change=change)
    said = await run.propose("a6", call)
    assert said.hypothesis.learnt_from == ("a3", "a2") and "Boosted trees" in call.prompt("change")


async def test_without_memory_nothing_is_recalled_and_only_the_solution_and_failures_since_are_shown() -> None:
    call = script()
    call.recollections = (Recollection("a2", 0.7, statement="Boosted trees."),)
    run = two_traces(loop={"memory": False})
    run.plan("a6", 0)
    await run.propose("a6", call)
    assert call.recalled == []
    for name in call.names:
        shown = call.prompt(name)
        assert "Ridge on scaled numbers." not in shown, "earlier successes are memory"
        assert "Learn the logarithm of the price." in shown, "the solution that is improved on is not"
        assert "Drop rare levels." in shown and "Boosted trees." not in shown
    full = script()
    await improving().propose("a6", full)
    assert "Ridge on scaled numbers." in full.prompt("hypotheses")


async def test_equal_captions_from_both_kinds_are_one_challenge_from_feedback() -> None:
    call = script(
        scenario_challenges=challenges("skewed target"), feedback_challenges=challenges("Skewed target", "leak"),
        hypotheses=hypotheses(hypothesis("leak")), selection={**CHOICE, "action": "select", "challenge": "leak"},
    )  # fmt: skip
    said = await improving().propose("a6", call)
    assert [c.name for c in said.challenges] == ["Skewed target", "leak"]

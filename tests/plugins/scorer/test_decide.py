"""When the scorer profiles and what it scores against what."""

from __future__ import annotations

from typing import Any

import msgspec

from gome.events import (
    AttemptAccepted,
    ExecutionFinished,
    ExecutionRequested,
    ProfileRequested,
    RunForked,
    ScoreRequested,
    StepPlanned,
    SubmissionRejected,
    SubmissionScored,
    SubmissionSelected,
    Text,
)
from gome.plugins.scorer.metrics import plugin
from tests.plugins.driver import Driver, artifact, scorings, some_task


def run_of(*attempts: tuple[str, float, str]) -> Driver:
    """A baseline and accepted attempts (name, score, parent) of trace 0."""
    run = Driver(plugin)
    run.start()
    run.attempt("baseline", 2.0, planned=False)
    for name, score, parent in attempts:
        run.attempt(name, score, parent=parent)
        run.say(AttemptAccepted(name))
    return run


def test_a_run_begins_with_folds_and_a_profile() -> None:
    run = Driver(plugin, seed=3)
    run.start(metrics={"folds": 4})
    assert run.last(ProfileRequested) == ProfileRequested(some_task(), seed=3, folds=4, partitions=8)


def asked_for(run: Driver, name: str, **execution: Any) -> ScoreRequested:
    said = run.say(
        ExecutionFinished(
            name, outputs={"oof.csv": artifact(f"{name}.x"), "submission.csv": artifact("s")}, ok=True, **execution
        )
    )
    (found,) = scorings(said)
    return found


def test_rivals_are_parent_head_best_and_baseline() -> None:
    run = run_of(("a1", 1.0, ""), ("a2", 0.5, "a1"), ("a3", 0.8, "a1"))
    run.say(StepPlanned("a4", 0, 3, parent="a1"))
    found = asked_for(run, "a4", purpose="full")
    assert [a.attempt for a in found.against] == ["a1", "a3", "a2", "baseline"]
    assert found.against[0].oof.name == "a1.full.0.0.oof"


def test_a_refused_parent_is_a_rival_beside_what_was_accepted_before_it() -> None:
    run = run_of(("a1", 1.0, ""))
    run.attempt("a2", 0.9, parent="a1")
    run.attempt("a3", 0.8, parent="a2")
    run.say(StepPlanned("a4", 0, 3, parent="a3"))
    assert [a.attempt for a in asked_for(run, "a4", purpose="full").against] == ["a3", "a1", "baseline"]


def test_the_last_attempts_serve_for_correlations_only() -> None:
    run = run_of(*((f"a{i}", 1.0 - i / 10, f"a{i - 1}" if i > 1 else "") for i in range(1, 8)))
    run.say(StepPlanned("b", 0, 3, parent="a7"))
    found = asked_for(run, "b", purpose="full")
    assert [a.attempt for a in found.against] == ["a7", "baseline"]
    assert [a.attempt for a in found.others] == ["a4", "a5", "a6"]


def test_a_failed_parent_is_replaced_by_its_nearest_scored_ancestor() -> None:
    run = run_of(("a1", 1.0, ""))
    run.say(StepPlanned("a2", 0, 1, parent="a1"))
    run.say(StepPlanned("a3", 0, 2, parent="a2"))
    found = asked_for(run, "a3", purpose="full")
    assert [a.attempt for a in found.against] == ["a1", "baseline"]


def test_repeats_meet_on_their_partition_and_seed_even_before_they_are_scored() -> None:
    run = run_of(("a1", 1.0, ""), ("a2", 0.5, "a1"))
    first = asked_for(run, "a1", purpose="repeat", partition=1, seed=9)
    second = asked_for(run, "a2", purpose="repeat", partition=1, seed=9)
    third = asked_for(run, "a2", purpose="rerun", partition=1, seed=10)
    assert first.against == () and [a.attempt for a in second.against] == ["a1"]
    assert third.against == ()


def test_an_audit_is_scored_against_its_own_claim() -> None:
    run = run_of(("a1", 1.0, ""))
    found = asked_for(run, "a1", purpose="audit", masked_fold=2)
    assert found.claim and found.claim.name == "a1.full.0.0.oof" and found.masked_fold == 2 and found.against == ()


def test_refused_predictions_are_nobody_s_rival() -> None:
    run = run_of(("a1", 1.0, ""))
    run.say(StepPlanned("a2", 0, 1, parent="a1"))
    asked_for(run, "a2", purpose="full")
    run.say(SubmissionRejected("a2", "full", "no"))
    run.say(StepPlanned("a3", 0, 2, parent="a2"))
    found = asked_for(run, "a3", purpose="full")
    assert [a.attempt for a in found.against] == ["a1", "baseline"]


def test_debug_and_failed_executions_are_not_scored() -> None:
    run = run_of()
    request = ExecutionRequested("a1", "debug", Text.of("x"), {})
    assert not scorings(run.say(run.finished(request)))
    request = ExecutionRequested("a1", "full", Text.of("x"), {})
    assert not scorings(run.say(run.finished(request, ok=False)))


def test_what_is_handed_in_is_scored_as_final() -> None:
    run = run_of(("a1", 1.0, ""))
    chosen = SubmissionSelected(
        "a1", 1.0, 0.1, artifact("sub"), artifact("oof"), Text.of("x"), seeds=(5, 6), partitions=(1, 2)
    )
    (found,) = scorings(run.say(chosen))
    assert (found.attempt, found.purpose, found.final, found.partition) == ("final", "rerun", True, 1)
    assert found.outputs == {"submission.csv": artifact("sub"), "oof.csv": artifact("oof")}


def test_a_scorer_that_takes_over_in_a_fork_owes_what_was_not_scored() -> None:
    run = run_of(("a1", 1.0, ""))
    run.say(StepPlanned("a2", 0, 1, parent="a1"))
    fresh = Driver(plugin)
    done = ExecutionFinished("a2", "full", True, outputs={"oof.csv": artifact("x")})
    for event in run.log:
        if isinstance(event.payload, plugin.reads):
            fresh.states[0] = plugin.evolve(fresh.states[0], event)
    request = next(e for e in run.log if isinstance(e.payload, ScoreRequested))
    fresh.states[0] = plugin.evolve(fresh.states[0], msgspec.structs.replace(request, payload=done))
    assert [s.attempt for s in scorings(fresh.say(RunForked("parent", 10, "hash")))] == ["a2"]


def test_the_repaired_version_of_a_refused_program_is_scored_and_met_by_others() -> None:
    run = run_of(("a1", 1.0, ""))
    run.say(StepPlanned("a2", 0, 1, parent="a1"))
    asked_for(run, "a2", purpose="full")
    run.say(SubmissionRejected("a2", "full", "no"))
    repaired = ExecutionFinished("a2", "full", True, outputs={"oof.csv": artifact("repaired")})
    (found,) = scorings(run.say(repaired))
    assert found.outputs == {"oof.csv": artifact("repaired")}
    run.say(SubmissionScored("a2", "full", 0.5))
    run.say(StepPlanned("a3", 0, 2, parent="a2"))
    assert asked_for(run, "a3", purpose="full").against[0].oof == artifact("repaired")

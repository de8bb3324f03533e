"""What the loop switches off for every reasoner, as the playbook does without it: memory, diagnosis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gome.events import AttemptRejected, HypothesisProposed, Recollection, Scores, StepPlanned
from gome.events.pipeline import Pipeline, apply_change, member_key, read_pipeline
from gome.kernel.loop import LoopSettings
from gome.kernel.reasoning import Proposal, ReasonContext
from gome.plugins.reasoner.playbook.believe import believe, evidence
from gome.plugins.reasoner.playbook.facts import read_facts
from gome.plugins.reasoner.playbook.idea import Idea
from gome.plugins.reasoner.playbook.pipelines import content_key
from gome.plugins.reasoner.playbook.propose import propose
from tests.plugins.reasoner.playbook.playing import Game, described

NO_MEMORY = LoopSettings(memory=False)
NO_DIAGNOSIS = LoopSettings(diagnosis=False)


def step(game: Game, name: str, trace: int, change: dict[str, Any], score: float, *, accepted: bool) -> Pipeline:
    """A step of a trace with a change of our own, under the playbook's name for it."""
    proposal = propose(game.plan(name, trace))
    assert proposal
    hypothesis = proposal.hypothesis
    return game.finish(name, change, score, accepted=accepted, proposal=Proposal(hypothesis), gain=0.001)


def member(name: str) -> dict[str, Any]:
    return {"model": {"family": name}}


def grown() -> Game:
    """Trace 0: accepted booster, refused knn, accepted blend with ridge, refused svm; trace 1: an accepted svm."""
    game = Game()
    step(game, "a1", 0, {"pipeline": {"members": [member("booster")]}}, 0.13, accepted=True)
    step(game, "a2", 1, {"pipeline": {"members": [member("svm")]}}, 0.12, accepted=True)
    step(game, "a3", 0, {"add": [member("knn")]}, 0.14, accepted=False)
    step(game, "a4", 0, {"add": [member("ridge")]}, 0.12, accepted=True)
    step(game, "a5", 0, {"add": [member("huber")]}, 0.14, accepted=False)
    return game


def seen(context: ReasonContext) -> tuple[set[str], set[str], list[str]]:
    """Attempts that are evidence, families in the library, heads of other traces."""
    facts = read_facts(context)
    return {e.attempt for e in evidence(context)}, {m.family for m in facts.library}, [name for name, _ in facts.heads]


def test_without_memory_only_failures_since_the_last_acceptance_of_the_own_trace_are_learnt_from() -> None:
    game = grown()
    context = game.plan("a6", 0)
    told = (Recollection("a2", 1.0, 0.9, 0.001, "an svm", "draft svm@svm", True),)
    context = game.context("a6", told)
    everything = ({"a1", "a2", "a3", "a4", "a5"}, {"booster", "svm", "knn", "ridge", "huber"}, ["a2"])
    assert seen(context) == everything
    assert seen(replace(context, loop=NO_MEMORY, recollections=())) == ({"a5"}, {"booster", "ridge", "huber"}, [])


def test_without_memory_the_solution_that_is_improved_on_is_seen_with_its_diagnostics() -> None:
    context = replace(grown().plan("a6", 0), loop=NO_MEMORY)
    facts = read_facts(context)
    assert {m.family for m in facts.members} == {"booster", "ridge"} and facts.score == 0.12
    assert facts.diagnostics and facts.members[0].iterations and facts.rejected_in_a_row == 1


def test_without_memory_a_failure_from_before_the_last_acceptance_may_be_tried_again_a_later_one_not() -> None:
    game = grown()
    context = game.plan("a6", 0)
    parent = game.trajectory.attempts["a1"].code
    assert parent
    old = content_key(apply_change(parent.spec, {"add": [member("knn")]}))
    last = game.trajectory.attempts["a5"].code
    assert last
    late = content_key(read_pipeline(last.spec))
    assert {old, late} <= read_facts(context).known
    known = read_facts(replace(context, loop=NO_MEMORY)).known
    assert late in known and old not in known


def test_without_memory_a_merge_sees_what_it_merges() -> None:
    game = grown()
    game.say(StepPlanned("a6", 0, step=6, kind="merge", stage="ensemble", parent="a4", parents=("a2",)))
    context = replace(game.context("a6"), loop=NO_MEMORY)
    assert seen(context) == ({"a5"}, {"booster", "ridge", "svm", "huber"}, ["a2"])
    proposal = propose(context)
    assert proposal and proposal.hypothesis.move.startswith("join")


def test_without_memory_siblings_in_flight_are_still_seen() -> None:
    game = Game()
    first = propose(replace(game.plan("a1", 0), loop=NO_MEMORY))
    assert first
    game.say(HypothesisProposed("a1", first.hypothesis))
    second = propose(replace(game.plan("a2", 1), loop=NO_MEMORY))
    assert second and second.hypothesis.change != first.hypothesis.change


def blind(diagnostics: Any = described) -> Proposal:
    """What is proposed without diagnosis on a parent with these diagnostics."""
    game = Game()
    game.plan("a1", 0)
    game.finish("a1", {"pipeline": {"members": [member("booster")]}}, 0.13, diagnostics=diagnostics)
    proposal = propose(replace(game.plan("a2", 0), loop=NO_DIAGNOSIS))
    assert proposal
    return proposal


def test_without_diagnosis_a_move_is_drawn_that_names_no_challenge_and_has_flat_scores() -> None:
    proposal = blind()
    h = proposal.hypothesis
    assert proposal.challenges == () and proposal.considered == () and h.learnt_from == ()
    assert h.scores == Scores() and h.problem == "" and h.move and h.reason.startswith("Drawn by its prior among ")


def test_without_diagnosis_what_an_execution_says_of_itself_changes_nothing() -> None:
    def capped(pipeline: Pipeline) -> dict[str, Any]:
        keys = [member_key(m) for m in pipeline.members]
        entries = [
            {"key": k, "score": 0.13, "train_score": 0.13, "seconds": [0.3] * 5, "best_iterations": [1500] * 5,
             "rounds": 1500, "importance": {"Lot_Area": 1.0}} for k in keys
        ]  # fmt: skip
        return {"members": entries, "blend": {"weights": [1.0]}}

    assert blind(capped) == blind(described)


def test_without_diagnosis_the_draws_reach_many_moves_and_follow_their_priors() -> None:
    game = Game()
    game.plan("a1", 0)
    game.finish("a1", {"pipeline": {"members": [member("booster")]}}, 0.13)
    moves = []
    for number in range(2, 32):
        proposal = propose(replace(game.plan(f"a{number}", 0), loop=NO_DIAGNOSIS))
        assert proposal
        moves.append(proposal.hypothesis.move.partition(":")[0].partition("@")[0])
        game.say(AttemptRejected(f"a{number}"))
    assert len(set(moves)) >= 4, moves


def test_without_diagnosis_a_first_step_is_a_draft() -> None:
    proposal = propose(replace(Game().plan("a1", 0), loop=NO_DIAGNOSIS))
    assert proposal and proposal.hypothesis.move.startswith("draft ")


def test_a_success_on_another_task_speaks_for_a_moves_chance_but_not_for_its_gain() -> None:
    game = grown()
    game.plan("a6", 0)
    elsewhere = (Recollection("other-run:a7", 0.8, 0.5, 4000.0, "add ages", "features:years@booster", True),)
    idea = Idea(
        "features", "features", "", "add ages", "", {}, gain=0.01, chance=0.4, family="booster", variant="years"
    )
    without = believe(idea, evidence(game.context("a6")))
    with_it = believe(idea, evidence(game.context("a6", elsewhere)))
    assert with_it.chance > without.chance and with_it.gain == without.gain
    assert with_it.learnt_from == ("other-run:a7",)

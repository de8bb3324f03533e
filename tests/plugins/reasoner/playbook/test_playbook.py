"""The playbook as a whole: new, valid, affordable proposals with reasons, learnt from what happened."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gome.events import (
    AttemptRejected,
    Budget,
    Column,
    HypothesisProposed,
    MemoryRecalled,
    ProposalRequested,
    Recollection,
    StepPlanned,
)
from gome.events.pipeline import Pipeline, apply_change, check_task, family, pipeline_key
from gome.kernel.reasoning import Proposal
from gome.plugins.reasoner.playbook import plugin
from gome.plugins.reasoner.playbook.diagnose import diagnose
from gome.plugins.reasoner.playbook.facts import TooHeavy
from gome.plugins.reasoner.playbook.families import corrections
from gome.plugins.reasoner.playbook.pipelines import content_key
from gome.plugins.reasoner.playbook.propose import LIGHTER, START, ceiling, ideas_for, legal, propose, seconds_of
from gome.plugins.reasoner.playbook.reflect import reflect
from tests.plugins.driver import Driver
from tests.plugins.reasoner.playbook.playing import Game, play, task_of

TEXTS = (Column("review", "text"), Column("stars", "numeric"), Column("day", "time"))
NUMBERS = tuple(Column(f"x{i}", "numeric") for i in range(20))


@pytest.fixture(scope="module")
def long_game() -> tuple[Game, list[tuple[str, Proposal]]]:
    """200 proposals in one run."""
    game = Game()
    return game, play(game, 200)


def test_two_hundred_proposals_never_repeat_a_program(long_game: tuple[Game, list[tuple[str, Proposal]]]) -> None:
    game, made = long_game
    assert len(made) >= 150
    keys, contents = set(), set()
    for name, proposal in made:
        attempt = game.trajectory.attempts[name]
        parent = game.trajectory.attempts.get(attempt.parent)
        pipeline = apply_change(parent.code.spec if parent and parent.code else {}, proposal.hypothesis.change)
        check_task(pipeline, game.task)
        keys.add(pipeline_key(pipeline))
        contents.add(content_key(pipeline))
    assert len(keys) == len(contents) == len(made)


def test_every_reason_is_a_sentence_with_a_number_and_names_a_challenge_with_evidence(
    long_game: tuple[Game, list[tuple[str, Proposal]]],
) -> None:
    for _, proposal in long_game[1]:
        h = proposal.hypothesis
        assert h.statement[0].isupper() and len(h.statement) > 10
        assert re.search(r"\d", h.reason) and h.reason.endswith(".") and not h.reason[0].islower()
        first = proposal.challenges[0]
        assert first.name == h.problem and re.search(r"\d", first.evidence) and 0 < first.weight <= 1
        assert all(1 <= s <= 10 for s in (h.scores.alignment, h.scores.impact, h.scores.novelty, h.scores.feasibility))
        assert all(c.scores.total <= h.scores.total for c in proposal.considered) or "join" in h.move


def test_the_same_run_gives_the_same_proposals() -> None:
    first = [p.hypothesis for _, p in play(Game(), 12)]
    assert first == [p.hypothesis for _, p in play(Game(), 12)]


@pytest.mark.parametrize(
    ("kind", "metric", "greater", "rows", "classes", "first"),
    [
        ("regression", "rmsle", False, 2_000, (), ["booster", "ridge", "svm"]),
        ("regression", "rmsle", False, 50_000, (), ["booster", "hist_booster", "ridge"]),
        ("binary", "roc_auc", True, 1_500, ("no", "yes"), ["booster", "ridge", "trees"]),
        ("multiclass", "log_loss", False, 1_300, tuple("abcdefgh"), ["discriminant", "svm", "trees"]),
    ],
)
def test_first_drafts_are_apart_and_suit_the_shape_of_the_data(
    kind: str, metric: str, greater: bool, rows: int, classes: tuple[str, ...], first: list[str]
) -> None:
    game = Game(task_of(kind, metric, greater, rows, classes=classes))
    families = []
    for trace in range(3):
        proposal = propose(game.plan(f"a{trace + 1}", trace, stage="draft"))
        assert proposal is not None
        game.say(HypothesisProposed(f"a{trace + 1}", proposal.hypothesis))
        pipeline = apply_change({}, proposal.hypothesis.change)
        check_task(pipeline, game.task)
        families.append(family(pipeline.members[0]))
    assert families == first


def test_a_refused_draft_is_followed_by_another_family() -> None:
    game = Game()
    first = propose(game.plan("a1", 0, stage="draft"))
    assert first
    game.say(HypothesisProposed("a1", first.hypothesis))
    game.say(AttemptRejected("a1", failure="memory"))
    second = propose(game.plan("a2", 0, stage="draft"))
    assert second and second.hypothesis.move != first.hypothesis.move


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_every_kind_of_task_and_column_gets_valid_proposals(kind: str) -> None:
    classes = {"regression": (), "binary": ("no", "yes"), "multiclass": ("a", "b", "c")}[kind]
    metric, greater = {"regression": ("rmse", False), "binary": ("log_loss", False), "multiclass": ("accuracy", True)}[
        kind
    ]
    for columns in (TEXTS, NUMBERS):
        for profile in ({}, {"target": {"minority": 0.1, "skew": 3.0, "positive": True}}):
            game = Game(task_of(kind, metric, greater, 3000, columns, classes), profile)
            made = play(game, 12)
            assert len(made) >= 9
            if columns is TEXTS:
                said = str(made[0][1].hypothesis.change)
                assert "tfidf" in said and "date_parts" in said


def test_open_attempts_count_as_known_before_their_code_is_written() -> None:
    game = Game()
    first = propose(game.plan("a1", 0))
    assert first
    game.say(HypothesisProposed("a1", first.hypothesis))
    again = propose(game.plan("a2", 3))
    assert again and again.hypothesis.change != first.hypothesis.change


def test_nothing_is_proposed_that_does_not_fit_into_the_time_left() -> None:
    game = Game(budget=Budget(seconds=100.0))
    game.active = 79.5
    assert propose(game.plan("a1", 0)) is None
    game = Game(budget=Budget(seconds=100.0))
    assert propose(game.plan("a1", 0)) is not None


def test_a_merge_takes_up_what_other_traces_have_fitted() -> None:
    game = Game()
    for trace, name in enumerate(("booster", "ridge", "svm")):
        game.plan(f"a{trace + 1}", trace, stage="draft")
        game.finish(f"a{trace + 1}", {"pipeline": {"members": [{"model": {"family": name}}]}}, 0.13)
    proposal = propose(game.plan("a4", 0, kind="merge", stage="ensemble"))
    assert proposal and proposal.hypothesis.move.startswith("join")
    parent = game.trajectory.attempts["a1"]
    assert parent.code
    pipeline = apply_change(parent.code.spec, proposal.hypothesis.change)
    assert {family(m) for m in pipeline.members} >= {"booster", "ridge"} and pipeline.blend.kind == "weights"


def test_what_worked_on_another_trace_is_tried_sooner_and_said_to_be_learnt_from() -> None:
    def after(gain: float) -> tuple[float, Proposal]:
        game = Game()
        for trace, name in enumerate(("booster", "ridge")):
            game.plan(f"a{trace + 1}", trace, stage="draft")
            game.finish(f"a{trace + 1}", {"pipeline": {"members": [{"model": {"family": name}}]}}, 0.13)
        proposal = propose(game.plan("a3", 1))
        assert proposal
        years = next(h for h in (proposal.hypothesis, *proposal.considered) if h.move.startswith("features:"))
        proposal = Proposal(years)
        game.finish("a3", years.change, 0.13 - gain, accepted=gain > 0, proposal=proposal, gain=abs(gain))
        game.plan("a4", 0)
        told = (Recollection("a3", 1.0, 0.9, gain, years.statement, years.move, gain > 0),)
        found = propose(game.context("a4", told))
        assert found
        topic = years.move.partition("@")[0]
        like = [h for h in (found.hypothesis, *found.considered) if h.move.startswith(topic)]
        return (like[0].expected_gain if like else 0.0), found

    good, proposal = after(0.01)
    bad, _ = after(-0.01)
    assert good > bad
    assert proposal.hypothesis.learnt_from == ("a3",) and proposal.chosen == "modify"
    assert "success in a3" in proposal.hypothesis.reason


def test_reflection_compares_with_the_parent_and_leaves_a_lesson() -> None:
    game = Game()
    game.plan("a1", 0)
    game.finish("a1", {"pipeline": {"members": [{"model": {"family": "booster"}}]}}, 0.13)
    first = reflect(game.context("a1"))
    assert first.accept and "first valid" in first.reason and "best after 300 of 1500 rounds" in first.observations
    proposal = propose(game.plan("a2", 0))
    assert proposal
    game.finish("a2", proposal.hypothesis.change, 0.125, proposal=proposal, gain=0.005)
    better = reflect(game.context("a2"))
    assert better.accept and "helped" in better.lesson and "5 of 5 folds" in better.reason and "a1" in better.reason
    game.plan("a3", 0)
    game.finish(
        "a3", {"blend": {"kind": "mean"}, "add": [{"model": {"family": "knn"}, "encoding": None}]}, 0.14, gain=-0.01
    )
    worse = reflect(game.context("a3"))
    assert not worse.accept and "did harm" in worse.lesson and "weights" in worse.observations


def test_the_plugin_asks_for_one_proposal_at_a_time() -> None:
    run = Driver(plugin)
    for number in range(2):
        run.say(StepPlanned(f"a{number}", number, step=1))
        run.say(MemoryRecalled(f"a{number}"))
    assert [p.attempt for p in run.all(ProposalRequested)] == ["a0"]
    proposal = propose(Game().plan("a0", 0))
    assert proposal
    run.say(HypothesisProposed("a0", proposal.hypothesis))
    assert [p.attempt for p in run.all(ProposalRequested)] == ["a0", "a1"]


@pytest.mark.parametrize("failure", ["time", "memory"])
def test_after_running_out_of_time_or_memory_only_lighter_changes_are_proposed(failure: str) -> None:
    game = Game()
    game.plan("a1")
    game.finish("a1", {"pipeline": {"members": [{"model": {"family": "ridge"}}]}}, 0.14)
    first = propose(game.plan("a2"))
    assert first is not None
    heavy = game.fail("a2", first, failure)
    context = game.plan("a3")
    facts = game.facts("a3")
    assert [(h.attempt, h.failure, h.pipeline) for h in facts.heavy] == [("a2", failure, heavy)]
    second = propose(context)
    assert second is not None and f"since a2 ran out of {failure}" in second.hypothesis.reason
    pipeline = apply_change(facts.parent, second.hypothesis.change)
    kept, corrected = {m.key: m for m in facts.library}, corrections(facts)
    most = ceiling(facts, kept, corrected)
    assert most - START == LIGHTER * (seconds_of(facts, heavy, kept, corrected)[0] - START)
    assert seconds_of(facts, pipeline, kept, corrected)[0] <= most


def test_other_failures_do_not_make_steps_lighter_and_an_acceptance_ends_it() -> None:
    game = Game()
    game.plan("a1")
    game.finish("a1", {"pipeline": {"members": [{"model": {"family": "ridge"}}]}}, 0.14)
    for name, failure in (("a2", "data"), ("a3", "numeric")):
        proposal = propose(game.plan(name))
        assert proposal is not None
        game.fail(name, proposal, failure)
    proposal = propose(game.plan("a4"))
    assert proposal is not None and game.facts("a4").heavy == ()
    game.fail("a4", proposal, "time")
    proposal = propose(game.plan("a5"))
    assert proposal is not None and len(game.facts("a5").heavy) == 1
    game.finish("a5", proposal.hypothesis.change, 0.13, proposal=proposal)
    game.plan("a6")
    assert game.facts("a6").heavy == ()


def test_where_nothing_lighter_is_left_a_heavy_step_is_better_than_none() -> None:
    game = Game()
    proposal = propose(game.plan("a1"))
    assert proposal is not None
    game.fail("a1", proposal, "time")
    context = game.plan("a2")
    nothing = replace(game.facts("a2"), heavy=(TooHeavy("a1", "time", Pipeline(members=())),))
    assert not list(legal(context, nothing, ideas_for(nothing, diagnose(nothing)), wait=False))
    assert propose(context) is not None

"""What is expected of a move after its like has been tried: forecasts are held against what came of them."""

from __future__ import annotations

import pytest

from gome.events import Hypothesis, Recollection, StepPlanned
from gome.kernel.reasoning import Proposal
from gome.plugins.reasoner.playbook.believe import RATE, Evidence, believe, evidence
from gome.plugins.reasoner.playbook.idea import Idea
from tests.plugins.reasoner.playbook.playing import Game
from tests.plugins.reasoner.playbook.test_loop import grown, member, step


def idea(variant: str = "rich", move: str = "join") -> Idea:
    return Idea(move, "ensemble", "", "s", "", {}, gain=0.02, chance=0.5, family="blend", variant=variant)


def seen(topic: str = "join:rich", realised: float | None = 0.0, **more: object) -> Evidence:
    return Evidence("a1", topic, "blend", gain=0.0, accepted=False, weight=1.0, realised=realised, **more)  # type: ignore[arg-type]


def test_a_forecast_that_came_to_nothing_lowers_the_next_and_one_that_was_surpassed_raises_it() -> None:
    prior = believe(idea(), []).gain
    assert prior == 0.02
    assert believe(idea(), [seen(realised=0.0)]).gain == pytest.approx(prior * (1 - RATE))
    assert believe(idea(), [seen(realised=2.0)]).gain == pytest.approx(prior * (1 + RATE))


def test_a_forecast_that_came_true_is_left_alone_however_often() -> None:
    assert believe(idea(), [seen(realised=1.0)] * 5).gain == pytest.approx(0.02)


def test_another_topic_of_the_move_counts_in_part_and_another_move_not_at_all() -> None:
    same, related = believe(idea(), [seen()]).gain, believe(idea(), [seen("join:lean")]).gain
    assert same < related < 0.02
    assert believe(idea(), [seen("tune:leaves")]).gain == 0.02


def test_what_had_no_forecast_leaves_the_expected_gain_alone() -> None:
    assert believe(idea(), [seen(realised=None)]).gain == 0.02


def tried(game: Game) -> dict[str, Evidence]:
    game.plan("a9", 0)
    return {e.attempt: e for e in evidence(game.context("a9"))}


def test_what_other_traces_had_refused_is_evidence_too() -> None:
    game = grown()
    step(game, "a6", 1, {"add": [member("ridge")]}, 0.125, accepted=False)
    found = tried(game)
    assert found["a6"].foreign and not found["a6"].accepted
    assert 0 < found["a6"].weight < found["a4"].weight, "less than what was tried on the own trace"


def test_recalled_attempts_are_not_counted_twice() -> None:
    game = grown()
    game.plan("a9", 0)
    told = (Recollection("a2", 1.0, 0.9, 0.001, "an svm", "draft svm@svm", True),)
    names = [e.attempt for e in evidence(game.context("a9", told))]
    assert sorted(names) == ["a1", "a2", "a3", "a4", "a5"]


@pytest.mark.parametrize(("other", "realised"), [("a1", 1.0), ("a2", 0.0)])
def test_a_lead_that_was_taken_over_is_no_merit_of_the_change(other: str, realised: float) -> None:
    """The own head and `a1` have an error of 0.14, `a2` of 0.12: what ends at 0.12 gains 0.02 over the one, and
    nothing over the other."""
    game = Game()
    for name, trace, score in (("a1", 2, 0.14), ("a2", 1, 0.12), ("a3", 0, 0.14)):
        step(game, name, trace, {"pipeline": {"members": [member("booster")]}}, score, accepted=True)
    game.say(StepPlanned("a4", 0, 2, kind="merge", parent="a3", parents=(other,)))
    lead = 0.02 if other == "a2" else 0.0
    proposal = Proposal(Hypothesis("join", "ensemble", {}, move="join:rich@blend", expected_gain=0.02 + lead))
    game.finish("a4", {"add": [member("ridge")]}, 0.12, proposal=proposal, gain=0.02)
    assert tried(game)["a4"].realised == pytest.approx(realised)

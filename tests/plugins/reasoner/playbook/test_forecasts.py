"""What blending is expected to gain: little where a blend stands already, and nothing of models that lag far behind."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gome.plugins.reasoner.playbook.facts import Facts
from gome.plugins.reasoner.playbook.fitted import MemberFacts
from gome.plugins.reasoner.playbook.moves.blending import BLENDED, add_family, blended_error, join
from tests.plugins.reasoner.playbook.playing import Game


def fitted(family: str, score: float, weight: float = 1.0) -> MemberFacts:
    spec = {"model": {"family": family}}
    return MemberFacts(spec, f"{family}-{score}", family, "a1", 0, score=score, weight=weight)


def facts(members: list[MemberFacts], library: list[MemberFacts], error: float) -> Facts:
    """A solution with these members and this error, and what else has been fitted (errors of a regression)."""
    game = Game()
    game.plan("a1")
    return replace(game.facts("a1"), members=tuple(members), library=tuple([*members, *library]), error=error)


def best_join(found: Facts) -> float:
    return max(idea.gain for idea in join(found))


def test_joining_a_blend_with_more_of_the_same_is_expected_to_gain_little() -> None:
    booster, ridge, svm = fitted("booster", 0.12), fitted("ridge", 0.125), fitted("svm", 0.121)
    alone = best_join(facts([booster], [ridge, svm], 0.12))
    joined = best_join(facts([booster, ridge], [svm], 0.115))
    assert alone > 0.03, "the first other family is worth most"
    assert joined < alone / 3


def test_what_blends_are_forecast_to_save_is_not_promised_again_where_it_was_saved() -> None:
    """Whatever the forecast says of the present blend, its own members joined once more gain nothing."""
    booster, ridge, svm = fitted("booster", 0.12), fitted("ridge", 0.125), fitted("svm", 0.121)
    worse = fitted("huber", 0.17)
    for error in (0.10, 0.115, 0.13):
        assert best_join(facts([booster, ridge, svm], [worse], error)) <= 2 * BLENDED


@given(st.lists(st.floats(0.1, 0.3), min_size=1, max_size=6), st.floats(0.1, 0.3))
def test_a_model_more_never_makes_the_forecast_worse_than_the_best_alone(scores: list[float], new: float) -> None:
    families = ("booster", "ridge", "svm", "trees", "huber", "mlp", "knn")
    found = facts([], [], 0.2)
    pool = [fitted(families[i], s) for i, s in enumerate(scores)]
    more = [*pool, fitted(families[len(scores)], new)]
    assert blended_error(found, more) <= min(m.score or 0.0 for m in more) + 1e-12
    assert blended_error(found, pool) >= 0.9 * min(scores), "savings are bounded however many there are"


def test_a_family_is_expected_to_help_as_far_as_its_kind_keeps_up() -> None:
    def gains(ridge: float) -> dict[str, float]:
        found = facts([fitted("booster", 0.12)], [fitted("ridge", ridge)], 0.12)
        return {idea.variant: idea.gain for idea in add_family(found)}

    close, far = gains(0.125), gains(0.2)
    assert far["huber"] < 0.3 * close["huber"], "where one linear model is far off, so is the next"
    assert far["hist_booster"] == close["hist_booster"] > 0, "trees keep up either way"

"""The strength of the playbook: what each channel perturbs, how often, and that it leaves alone what was measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.events.pipeline import read_pipeline
from gome.kernel.reasoning import Feedback, ReasonContext
from gome.plugins.reasoner.playbook.diagnose import diagnose
from gome.plugins.reasoner.playbook.facts import read_facts, without_diagnostics
from gome.plugins.reasoner.playbook.idea import Idea
from gome.plugins.reasoner.playbook.moves import MOVES
from gome.plugins.reasoner.playbook.pipelines import content_key, key_of
from gome.plugins.reasoner.playbook.propose import propose
from gome.plugins.reasoner.playbook.reflect import reflect
from gome.plugins.reasoner.playbook.settings import CHANNELS, Settings, read_settings
from gome.plugins.reasoner.playbook.strength import TYPICAL, Weakness, wrong
from tests.plugins.reasoner.playbook.playing import Game

SHARES = st.floats(0.0, 1.0)
TWO = read_pipeline({"members": [{"model": {"family": "booster"}}, {"model": {"family": "ridge"}}]})


def weakness(strength: float, *channels: Any, seed: int = 1, attempt: str = "a1") -> Weakness:
    return Weakness(Settings(strength, channels or CHANNELS), seed, attempt)


def idea(move: str, gain: float = 0.01, chance: float = 0.5) -> Idea:
    return Idea(move, "model", "p", "s", "r", {}, gain, chance)


def improving(settings: dict[str, Any] | None = None, attempt: str = "a9") -> ReasonContext:
    """A step on an accepted solution of two members."""
    game = Game()
    game.plan("a1")
    game.finish("a1", {"pipeline": {"members": [{"model": {"family": f}} for f in ("booster", "ridge")]}}, 0.13)
    return replace(game.plan(attempt), settings=settings or {})


@given(st.integers(0, 2**40), st.sampled_from(["a1", "a7", "a40"]), st.lists(SHARES.filter(bool), max_size=5))
def test_at_full_strength_nothing_is_perturbed(seed: int, attempt: str, gains: list[float]) -> None:
    sound = weakness(1.0, seed=seed, attempt=attempt)
    ideas = [idea(move, gain) for move, gain in zip(TYPICAL, gains, strict=False)]
    assert not sound.misled() and not sound.mistaken() and sound.spoilt(TWO, ()) is None
    assert sound.believed(ideas) == ideas


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_that_is_off_perturbs_nothing_at_any_strength(channel: Any) -> None:
    others: list[Any] = [c for c in CHANNELS if c != channel]
    for number in range(40):
        weak = weakness(0.0, *others, attempt=f"a{number}")
        told = {
            "diagnosis": weak.misled(),
            "forecast": weak.believed([idea("tune")]) != [idea("tune")],
            "implementation": weak.spoilt(TWO, ()) is not None,
            "reflection": weak.mistaken(),
        }
        assert not told[channel]
        assert told["diagnosis"] or channel == "diagnosis", "at strength 0 every diagnosis is drawn"


@pytest.mark.parametrize(
    ("strength", "expected"), [(0.0, (1.0, 0.5, 0.5)), (0.5, (0.5, 0.25, 0.25)), (0.9, (0.1, 0.05, 0.05))]
)
def test_the_rates_of_perturbation_are_the_documented_ones(
    strength: float, expected: tuple[float, float, float]
) -> None:
    steps = [weakness(strength, attempt=f"a{n}") for n in range(1500)]
    rates = (
        sum(s.misled() for s in steps) / len(steps),
        sum(s.spoilt(TWO, ()) is not None for s in steps) / len(steps),
        sum(s.mistaken() for s in steps) / len(steps),
    )
    for rate, wanted in zip(rates, expected, strict=True):
        assert rate == pytest.approx(wanted, abs=0.04)


def test_a_step_has_the_same_draws_in_every_search_and_others_in_another_run() -> None:
    one, again, other = (weakness(0.3, attempt="a3"), weakness(0.3, attempt="a3"), weakness(0.3, attempt="a3", seed=2))
    names = [f"challenge {n}" for n in range(12)]
    assert one.drawn(names) == again.drawn(reversed(names)), "neither the event nor the order of names matters"
    assert one.drawn(names) != other.drawn(names)


def test_the_wrong_belief_about_moves_is_one_permutation_for_the_whole_run() -> None:
    ideas = [idea(move, *TYPICAL[move]) for move in TYPICAL]
    first = weakness(0.0, "forecast", attempt="a1").believed(ideas)
    assert first == weakness(0.0, "forecast", attempt="a70").believed(ideas), "no fresh noise"
    assert first != weakness(0.0, "forecast", seed=2).believed(ideas)
    assert sorted(round(i.gain, 9) for i in first) == sorted(gain for gain, _ in TYPICAL.values())
    assert [i.change for i in first] == [i.change for i in ideas]


@given(SHARES, st.integers(0, 1000), st.floats(1e-4, 0.1), SHARES)
def test_a_weaker_forecast_is_a_mixture(strength: float, seed: int, gain: float, chance: float) -> None:
    base = [idea(move, gain, chance) for move in TYPICAL]
    mixed = weakness(strength, "forecast", seed=seed).believed(base)
    worst = weakness(0.0, "forecast", seed=seed).believed(base)
    for now, right, then in zip(mixed, base, worst, strict=True):
        assert now.gain == pytest.approx(strength * right.gain + (1 - strength) * then.gain)
        assert 0 <= now.chance <= 0.95 or strength == 1.0


def test_every_move_that_may_be_mistaken_for_another_is_in_the_catalogue() -> None:
    asked_by_kind = {"draft", "repair", "cross"}
    assert {m.name for m in MOVES} - asked_by_kind <= set(TYPICAL)
    assert not asked_by_kind & set(TYPICAL)


def test_a_fault_is_declared_in_a_new_member_and_nowhere_else() -> None:
    kinds, old = set(), key_of(TWO.members[0])
    for number in range(60):
        change = weakness(0.0, "implementation", attempt=f"a{number}").spoilt(TWO, (old,))
        if change is None:
            continue
        spoilt = read_pipeline(change["pipeline"])
        assert spoilt.members[0] == TWO.members[0], "what the parent has fitted is as it was"
        assert msgspec.structs.replace(spoilt.members[1], fault="none") == TWO.members[1]
        assert spoilt.blend == TWO.blend
        kinds.add(spoilt.members[1].fault)
    assert kinds == {"crash", "noise"}


def test_a_fault_never_makes_a_program_that_exists() -> None:
    for number in range(60):
        weak = weakness(0.0, "implementation", attempt=f"a{number}")
        first = weak.spoilt(TWO, ())
        if first is None:
            continue
        known = {content_key(read_pipeline(first["pipeline"]))}
        second = weak.spoilt(TWO, (), known)
        assert second and content_key(read_pipeline(second["pipeline"])) not in known
        assert weak.spoilt(TWO, (), known | {content_key(read_pipeline(second["pipeline"]))}) is None


def test_a_drawn_challenge_says_that_it_was_drawn_and_moves_answer_it() -> None:
    found = propose(improving({"strength": 0.0, "channels": ["diagnosis"]}))
    assert found and len(found.challenges) == 1 and "whatever the evidence says" in found.challenges[0].evidence
    assert found.hypothesis.problem == found.challenges[0].name


def test_a_weak_playbook_proposes_something_else_for_many_steps() -> None:
    sound = {repr(propose(improving({}, f"a{n}"))) for n in range(2, 12)}
    weak = {repr(propose(improving({"strength": 0.0, "channels": ["diagnosis"]}, f"a{n}"))) for n in range(2, 12)}
    assert len(sound) == 1 and len(weak) > 4


def test_without_diagnostics_only_the_data_and_the_solution_are_diagnosed() -> None:
    context = improving({"diagnostics": False})
    facts = read_facts(context)
    assert facts.members[0].iterations and not without_diagnostics(facts).members[0].iterations
    found = propose(context)
    assert found
    known = {c.name for c in diagnose(without_diagnostics(facts))}
    assert {c.name for c in found.challenges} <= known


def test_a_wrong_opinion_is_the_opposite_and_keeps_the_figures() -> None:
    game = Game()
    game.plan("a1")
    game.finish("a1", {"pipeline": {"members": [{"model": {"family": "ridge"}}]}}, 0.13)
    made = propose(game.plan("a2"))
    assert made
    game.finish("a2", made.hypothesis.change, 0.12, proposal=made, gain=0.01)
    right = reflect(game.context("a2"))
    said = [
        reflect(replace(game.context("a2"), settings={"strength": 0.0}, draw=type(game.context("a2").draw)(seed, "x")))
        for seed in range(40)
    ]
    wrong_ones = [f for f in said if f != right]
    assert 8 < len(wrong_ones) < 32 and right in said
    for feedback in wrong_ones:
        assert feedback.accept is not right.accept and "did harm" in feedback.lesson
        assert (feedback.observations, feedback.reason) == (right.observations, right.reason)


def test_an_opinion_that_compares_with_nothing_only_changes_its_verdict() -> None:
    first = Feedback(accept=True, observations="o", reason="r", lesson="to begin with")
    assert wrong(first, "") == replace(first, accept=False)


def test_settings_that_make_no_sense_are_refused() -> None:
    for table in ({"strength": 1.5}, {"channels": ["luck"]}, {"diagnostics": 3}):
        with pytest.raises(msgspec.ValidationError):
            read_settings(table)
    assert read_settings(None) == Settings() and Settings().strength == 1.0

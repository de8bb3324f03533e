"""The success memory: its fold, what a step is told, and that both backends of similarity agree."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import math
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    Draw,
    Event,
    ExecutionFinished,
    FeedbackGiven,
    Hypothesis,
    HypothesisProposed,
    MemoryRecalled,
    Payload,
    RecallRequested,
    RunStarted,
    StepPlanned,
    SubmissionScored,
    Trajectory,
)
from gome.events.memory import SuccessMemory, normalised_gain, spread
from gome.kernel.plugin import Context
from gome.plugins.memory.kernel import plugin
from gome.plugins.memory.kernel.recall import draw_without_replacement, logit, recall, softmax
from gome.plugins.memory.kernel.similarity import cosine, embed
from tests.plugins.driver import Driver, some_task

IDEAS = ("add ages from years", "add the ratio of areas", "fewer leaves for the booster", "blend three families")
HAS_TORCH = importlib.util.find_spec("torch") is not None


def story(outcomes: list[tuple[int, bool, float]], rule: str = "robust") -> list[Payload]:
    """A run in which each attempt (trace, accepted, gain) goes its whole way."""
    said: list[Payload] = [RunStarted(task=some_task(), seed=3, traces=3, settings={"kernel": {"rule": rule}})]
    heads: dict[int, str] = {}
    score = 1.0
    for number, (trace, accepted, gain) in enumerate(outcomes, start=1):
        name = f"a{number}"
        score -= gain if accepted else 0.0
        said += [
            StepPlanned(name, trace, step=number, parent=heads.get(trace, "")),
            HypothesisProposed(name, Hypothesis(IDEAS[number % 4], "features", move=f"move{number % 4}")),
            ExecutionFinished(name, "full", True, seconds=2.0),
            SubmissionScored(name, "full", score),
            FeedbackGiven(name, accept=accepted, lesson=f"lesson {number}"),
            AttemptAccepted(name, gain=gain) if accepted else AttemptRejected(name, gain=-gain),
        ]
        if accepted:
            heads[trace] = name
    return said


def folded(said: list[Payload]) -> tuple[SuccessMemory, Trajectory]:
    memory, trajectory = SuccessMemory(), Trajectory()
    for seq, payload in enumerate(said, start=1):
        event = Event(f"{seq:032x}", type(payload).__name__, seq, float(seq), payload, active=float(seq))
        memory.apply(event)
        trajectory.apply(event)
    return memory, trajectory


def remember(
    said: list[Payload], trace: int = 0, query: str = "ages from years", limit: int = 4, seed: int = 0
) -> MemoryRecalled:
    """What a step of a trace is told after a story."""
    _, trajectory = folded(said)
    asked = RecallRequested("x", trace, "", position=len(said), query=query, limit=limit)
    event = Event("f" * 32, "RecallRequested", len(said) + 1, 0.0, asked)
    started = cast(RunStarted, said[0])
    ctx = Context(
        run="r", intent=event, attempt=1, started=started, trajectory=trajectory.snapshot(),
        settings={"backend": "numpy", **started.settings.get("kernel", {})},
        artifacts=cast(Any, None), workdir=Path(), home=Path(),
        draw=Draw(seed, event.id), call=cast(Any, None), cancelled=lambda: False,
        log=cast(Any, logging.getLogger("test")),
    )  # fmt: skip
    return asyncio.run(recall(event, ctx))


outcomes = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.floats(0.0001, 10.0, allow_nan=False)), max_size=15)


@settings(max_examples=60)
@given(outcomes)
def test_every_finished_attempt_is_remembered_once_and_the_trajectory_gives_the_same_memory(
    told: list[tuple[int, bool, float]],
) -> None:
    memory, trajectory = folded(story(told))
    assert len(memory) == len(told) == len({m.attempt for m in memory})
    assert [m.attempt for m in memory.successes] == [f"a{n}" for n, o in enumerate(told, start=1) if o[1]]
    again = SuccessMemory.of(trajectory)
    assert (again.successes, again.failures, again.digest) == (memory.successes, memory.failures, memory.digest)


sizes = st.floats(-1e6, 1e6, allow_nan=False).map(lambda gain: round(gain, 9))


@given(st.lists(sizes, min_size=1, max_size=20), st.floats(1e-3, 1e3))
def test_normalised_gains_do_not_depend_on_the_unit_of_the_metric(gains: list[float], unit: float) -> None:
    scale, scaled = spread(gains), spread([g * unit for g in gains])
    for gain in gains:
        assert normalised_gain(gain * unit, scaled) == pytest.approx(normalised_gain(gain, scale), rel=1e-6)
        assert abs(normalised_gain(gain, scale)) <= 8


def test_an_entry_holds_hypothesis_lesson_score_gain_and_cost() -> None:
    memory, _ = folded(story([(1, True, 0.25)]))
    (entry,) = memory.successes
    assert (entry.trace, entry.gain, entry.cost, entry.lesson) == (1, 0.25, 2.0, "lesson 1")
    assert entry.score == 0.75 and entry.first and "ratio of areas" in entry.text


def test_failures_keep_their_class() -> None:
    said = story([])
    said += [StepPlanned("a1", 0, 1), AttemptRejected("a1", reason="too big", failure="memory")]
    memory, _ = folded(said)
    assert [m.failure for m in memory.failures] == ["memory"] and not memory.successes


def test_a_planned_step_asks_once_with_the_traces_latest_idea_and_the_digest_of_what_is_known() -> None:
    run = Driver(plugin)
    for payload in story([(0, True, 0.1), (1, False, 0.1)]):
        run.say(payload)
    before = len(run.all(RecallRequested))
    said = run.say(StepPlanned("a3", 0, step=3, parent="a1"))
    (asked,) = said
    assert isinstance(asked, RecallRequested) and before == 2
    assert "ratio of areas" in asked.query and asked.memory and asked.position == len(run.log) - 1
    other = run.say(StepPlanned("a4", 2, step=1))[0]
    assert isinstance(other, RecallRequested) and other.memory == asked.memory, "nothing was learnt in between"
    assert other.query.startswith("regression rmse"), "a trace without ideas asks with the task"


def test_successes_of_all_traces_are_told_best_first_and_failures_after_them() -> None:
    told = remember(story([(0, True, 0.5), (1, True, 0.1), (2, True, 0.2), (0, False, 0.3)]), trace=2)
    names = [r.attempt for r in told.recollections]
    assert sorted(names) == ["a1", "a2", "a3", "a4"] and names[-1] == "a4"
    weights = [r.weight for r in told.recollections if r.accepted]
    assert weights == sorted(weights, reverse=True) and sum(weights) == pytest.approx(1.0)


def test_the_robust_rule_prefers_larger_gains_whatever_the_scale_of_the_metric() -> None:
    for unit in (1e-4, 1.0, 1e4):
        gains = [(0, True, 1.0 * unit), (0, True, 0.2 * unit), (0, True, 3.0 * unit), (0, True, 0.2 * unit)]
        weight = {r.attempt: r.weight for r in remember(story(gains), query="").recollections}
        assert weight["a3"] > 1.2 * weight["a4"], unit


def test_the_published_rule_shows_the_best_and_the_oldest_draws() -> None:
    gains = [(0, True, 0.1)] * 6
    seen = [[r.attempt for r in remember(story(gains, "published"), seed=s).recollections] for s in range(30)]
    assert all(names[0] == "a6" and len(names) <= 3 for names in seen)
    assert all(names[1:] == sorted(names[1:]) for names in seen)


def test_an_empty_memory_tells_nothing() -> None:
    assert remember(story([])).recollections == ()


def test_a_recall_is_the_same_for_the_same_draws() -> None:
    said = story([(n % 3, n % 4 != 0, 0.1 * n + 0.1) for n in range(12)])
    assert remember(said, seed=5) == remember(said, seed=5)


def test_the_kernels_exponent_is_that_of_the_reference() -> None:
    assert logit(1.0, 0, 0.0) == 1.0
    assert logit(1.0, 30, 0.0) == pytest.approx(0.5)
    assert logit(1.0, 10, 0.0) == pytest.approx(0.794, abs=1e-3)
    assert logit(0.0, 0, 0.5) == pytest.approx(0.46, abs=3e-3)
    assert logit(1.0, 0, 50.0) == 2.0 and logit(-1.0, 0, -50.0) == -2.0
    assert sum(softmax([0.3, -2.0, 2.0])) == pytest.approx(1.0) and softmax([]) == []


def test_draws_follow_the_weights_without_repeating() -> None:
    weights = softmax([math.log(6), math.log(3), math.log(1)])
    first = [draw_without_replacement(weights, 2, Draw(s, "e"), "x") for s in range(2000)]
    assert all(len(set(pair)) == 2 for pair in first)
    share = sum(pair[0] == 0 for pair in first) / len(first)
    assert share == pytest.approx(0.6, abs=0.04)


def test_like_texts_are_more_alike_than_others_and_embeddings_are_unit_vectors() -> None:
    query = "add ages: year sold minus year built"
    texts = ["ages from two years (sold, built)", "a support vector machine with an RBF kernel", query]
    near, far, same = cosine(query, texts, "numpy")
    assert same == pytest.approx(1.0) and near > far + 0.1
    assert float(embed("some text") @ embed("some text")) == pytest.approx(1.0)
    assert cosine(query, ["", "…"], "numpy") == [0.0, 0.0] and cosine(query, [], "numpy") == []


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_torch_and_numpy_give_the_same_similarities() -> None:
    assert cosine(IDEAS[0], IDEAS, "torch") == cosine(IDEAS[0], IDEAS, "numpy")

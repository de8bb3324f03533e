"""Memories of other tasks' runs: off unless asked for, weighed by what the tasks have in common, named by their run."""

from __future__ import annotations

import msgspec
import pytest

from gome.events import Column, Metric, Task
from gome.events.memory import Memory
from gome.kernel.plugin import FinishedRun
from gome.plugins.memory.kernel.affinity import affinity
from gome.plugins.memory.kernel.settings import Settings
from tests.plugins.driver import some_task
from tests.plugins.memory.stories import IDEAS, remember, story, told

TABLE = (Column("a", "numeric"), Column("b", "category"))
HOUSES = msgspec.structs.replace(some_task(), name="houses", columns=TABLE, description="prices of houses")
FLATS = msgspec.structs.replace(HOUSES, name="flats", description="prices of flats and houses")
WORDS = (Column("t", "text"),)
REVIEWS = msgspec.structs.replace(
    HOUSES, name="reviews", kind="binary", metric=Metric("roc_auc", True), columns=WORDS, description="…"
)


def run_on(task: Task, name: str, *gains: float) -> FinishedRun:
    """A finished run whose accepted attempts had normalised gains."""
    memories = [
        Memory(f"a{n}", 0, n, True, IDEAS[1], "features", "move1", gain=100 * g, normalised=g, lesson="years help")
        for n, g in enumerate(gains, start=1)
    ]
    return FinishedRun(name, task, tuple(memories))


def test_other_runs_are_not_asked_for_unless_the_setting_says_so() -> None:
    said = story([(0, True, 0.1)])
    assert [r.attempt for r in remember(said, elsewhere=None).recollections] == ["a1"]


def test_successes_of_other_runs_are_told_under_their_run_and_with_their_lesson() -> None:
    said = story([(0, True, 0.1)], across=True)
    found = {r.attempt: r for r in remember(said, elsewhere=[run_on(FLATS, "flats-1", 1.0)]).recollections}
    assert set(found) == {"a1", "flats-1:a1"}
    foreign = found["flats-1:a1"]
    assert (foreign.move, foreign.lesson, foreign.gain, foreign.score) == ("move1", "years help", 100.0, None)
    assert sum(r.weight for r in found.values()) == pytest.approx(1.0)


def test_a_first_step_is_told_of_other_runs_before_its_own_has_learnt_anything() -> None:
    said = story([], across=True)
    assert [r.attempt for r in remember(said, elsewhere=[run_on(FLATS, "f", 1.0)]).recollections] == ["f:a1"]
    assert remember(said, elsewhere=[]).recollections == ()


def test_a_run_on_a_like_task_weighs_more_than_one_on_another_kind() -> None:
    said = story([(0, True, 0.1)], across=True)
    others = [run_on(REVIEWS, "r", 1.0), run_on(FLATS, "f", 1.0)]
    weight = {r.attempt: r.weight for r in remember(said, elsewhere=others).recollections}
    assert weight["f:a1"] > 1.5 * weight["r:a1"]


def test_gains_of_other_metrics_count_by_their_own_spread() -> None:
    said = story([], across=True)
    weight = {r.attempt: r.weight for r in remember(said, elsewhere=[run_on(FLATS, "f", 2.0, 0.1)]).recollections}
    assert weight["f:a1"] > 1.5 * weight["f:a2"]


def test_affinity_is_one_for_the_same_description_and_falls_with_each_difference() -> None:
    assert affinity(HOUSES, HOUSES, 1.0) == 1.0
    assert affinity(HOUSES, FLATS, 0.5) == pytest.approx(0.875)
    assert affinity(HOUSES, REVIEWS, -0.3) == 0.0
    mae = msgspec.structs.replace(HOUSES, metric=Metric("mae", False))
    assert affinity(HOUSES, mae, 1.0) == pytest.approx(0.9), "another metric of the same direction"


def test_the_published_rule_refuses_what_it_cannot_compare() -> None:
    with pytest.raises(ValueError, match="across needs"):
        Settings(across=True, rule="published")


def test_other_runs_that_cannot_be_read_are_done_without_and_the_result_says_so() -> None:
    said = story([(0, True, 0.1)], across=True)
    answer, _ = told(said, elsewhere=OSError("no such stream"))
    assert [r.attempt for r in answer.recollections] == ["a1"] and "no such stream" in answer.notice

"""Which tasks the shipped suites name: those of the real-data suite, each on the side that its page says it is on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gome.plugins.bench.commands import PLAYED as PLAYED_SUITES
from gome.plugins.bench.suite import SHIPPED, read_suite
from gome.plugins.bench.world import suite as world
from gome.plugins.tasks.suite import SUITE

DEV = {name for name, facts in SUITE.items() if facts.part == "dev"}
HELD_OUT = set(SUITE) - DEV
RUN, PLAYED = sorted(SHIPPED.rglob("*.toml")), sorted(PLAYED_SUITES.glob("*.toml"))


def sides(path: Path) -> tuple[list[str], list[str], list[str]]:
    """Tasks without a side, dev tasks and held-out tasks that a suite names."""
    if path in PLAYED:
        played = world.read_suite(str(path))
        return [], list(played.dev), list(played.held_out)
    run = read_suite(str(path))
    tasks, dev, held_out = ([task.spec for task in side] for side in (run.tasks, run.dev, run.held_out))
    return tasks, dev, held_out


@pytest.mark.parametrize("path", [*RUN, *PLAYED], ids=lambda path: path.stem)
def test_a_shipped_suite_names_tasks_of_the_real_data_suite_on_the_side_they_are_on(path: Path) -> None:
    tasks, dev, held_out = sides(path)
    assert tasks or dev or held_out
    assert set(tasks) <= set(SUITE) and set(dev) <= DEV and set(held_out) <= HELD_OUT


def test_a_comparison_on_all_real_tasks_leaves_none_out() -> None:
    tasks, dev, held_out = sides(SHIPPED / "real.toml")
    assert (tasks, set(dev), set(held_out)) == ([], DEV, HELD_OUT)


def test_a_suite_without_sides_has_no_held_out_task() -> None:
    """Whoever tries gome out by it would look at tasks that nobody shall look at while gome is improved."""
    named = {task for path in RUN for task in sides(path)[0]}
    assert named and named <= DEV

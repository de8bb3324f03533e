"""A small task of our own and a world to play it in: everything in it is executed for real, once per test session."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gome.events import Budget
from gome.plugins.bench.world.cells import Part, Stage, surroundings
from gome.plugins.bench.world.store import Store

SPARING = {
    "reruns": {"policy": "best_validation", "audit": False},
    "guard": {"seeds": 1, "repeats": 0},
    "metrics": {"folds": 2, "partitions": 2},
}
"""Settings with which a step is one execution."""


@pytest.fixture(scope="session")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of 120 rows in which y follows from two columns and noise."""
    draw = random.Random(4)
    lines = ["a,b,c,y"]
    for _ in range(120):
        a, b = draw.random(), draw.choice("uvw")
        lines.append(f"{a:.4f},{b},{draw.random():.4f},{3 * a + (b == 'v') + 0.2 * draw.random():.4f}")
    folder = tmp_path_factory.mktemp("tables") / "houses"
    folder.mkdir()
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    (folder / "task.toml").write_text('train = "train.csv"\ntarget = "y"\n')
    return folder


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's world grows."""
    return tmp_path_factory.mktemp("world-home")


@pytest.fixture(scope="session")
def stage(home: Path) -> Stage:
    """A stage that executes what it has not seen."""
    return Stage(Store(home / "world", surroundings()), home, cores=1)


@pytest.fixture(scope="session")
def part(houses: Path) -> Callable[..., Part]:
    """Makes parts: four steps on the table, unless told otherwise."""

    def made(steps: int = 4, seconds: float = 200.0, slots: int = 2, seed: int = 1, **tables: Any) -> Part:
        budget = Budget(seconds=seconds, steps=steps)
        return Part(task=str(houses), settings={**SPARING, **tables}, seed=seed, budget=budget, slots=slots)

    return made

"""From a suite to its cells: which runs there are, in which order, and what each is called. Pure.

A *treatment* is what is compared (search, reasoner, model, profile, levels of factors) with its settings resolved; a
*cell* is a treatment on a task, with a seed and a split: one run. Cells that are compared with each other stand side by
side (a block), so that a bench that is broken off has whole blocks, and each block begins with another treatment, so
that none is always the first on a machine that gets slower.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from gome.events import Budget
from gome.plugins.bench.suite import Suite, TaskChoice
from gome.plugins.bench.table import Split

SHOWN = 12
"""Hex digits of a cell's digest that its run's id holds."""


class Treatment(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is compared. `search`, `reasoner`, `model`, `profile` and `factors` are the names that reports show ("": the
    default, or none); `roles`, `settings`, `traces` and `fallback` are what they come to, over the settings that were
    in force when the bench began."""

    search: str
    reasoner: str = ""
    model: str = ""
    profile: str = ""
    factors: dict[str, str | float] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    traces: int = 3
    fallback: str = ""

    @property
    def label(self) -> str:
        """All names in one word or a few, for people."""
        levels = [f"{name}={level:g}" if isinstance(level, float) else f"{name}={level}" for name, level in self.levels]
        return " ".join(part for part in (self.search, self.reasoner, self.model, self.profile, *levels) if part)

    @property
    def levels(self) -> list[tuple[str, str | float]]:
        """The factors that no other name says."""
        return [(name, level) for name, level in self.factors.items() if name != "tier"]


class Cell(Struct, frozen=True, kw_only=True):
    """One run of a bench. `digest` covers all that it is asked to do; it holds no id and no time."""

    digest: str
    task: TaskChoice
    split: Split
    treatment: Treatment
    seed: int
    split_seed: int | None
    budget: Budget
    capacity: int

    @property
    def task_name(self) -> str:
        """The task in a word."""
        return re.split(r"[/\\]", self.task.spec.rstrip("/\\"))[-1]

    @property
    def name(self) -> str:
        """The cell in a few words."""
        split = "" if self.split_seed is None else f" split {self.split_seed}"
        return f"{self.task_name} {self.treatment.label} seed {self.seed}{split}"

    def run(self, bench: str) -> str:
        """The id of its run in a bench."""
        return f"{bench}-{self.digest[:SHOWN]}"


def cells(suite: Suite, treatments: Sequence[Treatment]) -> list[Cell]:
    """All cells in the order in which they are begun: seed by seed and split by split over all tasks, so that what is
    there early is as broad as can be, and within a block the treatments in turn."""
    found = []
    for block, (task, split, seed, split_seed) in enumerate(_blocks(suite)):
        turn = block % len(treatments)
        for treatment in (*treatments[turn:], *treatments[:turn]):
            found.append(_cell(suite, task, split, treatment, seed, split_seed))
    return found


def _blocks(suite: Suite) -> Iterator[tuple[TaskChoice, Split, int, int | None]]:
    for seed in suite.seeds:
        for split_seed in suite.split_seeds or (None,):
            for task, split in suite.all_tasks():
                yield task, split, seed, split_seed


def _cell(
    suite: Suite, task: TaskChoice, split: Split, treatment: Treatment, seed: int, split_seed: int | None
) -> Cell:
    budget = suite.run_budget()
    asked = (task, treatment, seed, split_seed, budget, suite.capacity)
    return Cell(
        digest=digest(asked),
        task=task,
        split=split,
        treatment=treatment,
        seed=seed,
        split_seed=split_seed,
        budget=budget,
        capacity=suite.capacity,
    )


def digest(value: Any) -> str:
    """SHA-256 of a value's JSON with sorted keys, as 64 hex digits."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def plan_digest(found: Sequence[Cell]) -> str:
    """What tells two plans apart: the cells and their order, whatever the suite is called."""
    return digest([cell.digest for cell in found])

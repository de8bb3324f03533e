"""Suites that are played in a recorded world: the file that states a hypothesis before anything has run, and its cells.

A suite names tasks with the virtual seconds that a run on each may take, seeds, and *factors*: settings by their dotted
key (`search`, `playbook.strength`, `guard.enabled`) with the values they take; its cells are all combinations. Runs of
one task, split and seed are paired: same folds, same draws where they are asked the same, same answers for the same
programs.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from gome.events import Budget
from gome.kernel.errors import UsageError
from gome.kernel.tasks import SEEDS, SPLIT_SEEDS, check_seed
from gome.plugins.bench.commands import PLAYED
from gome.plugins.bench.suite import SHIPPED, played
from gome.plugins.bench.table import Split
from gome.plugins.bench.world.cells import Part

RECORDED = Path(__file__).with_name("data")
"""Where the tables lie that were made with the shipped suites."""
WORLD = RECORDED / "recorded.world"
"""The answers that those tables were made from."""
Value = str | float | bool
Seconds = Annotated[float, Meta(gt=0, le=1e6)]


class Suite(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A suite file. `dev` and `held-out` map tasks to virtual seconds per run, `steps` bounds steps (an execution each,
    unless the settings ask for more) where these are what runs are compared by; `settings` is what all runs share, as
    in a settings file. `factors` maps dotted keys to their values, or names to levels with the settings, by dotted key,
    that each stands for (`traces` among them replaces the suite's); `labels` says what a factor is called in tables
    (default: the key's last part)."""

    name: str
    hypothesis: str
    statistic: str
    factors: dict[str, tuple[Value, ...] | dict[str, dict[str, Any]]]
    seeds: tuple[int, ...]
    split_seeds: tuple[int, ...] = (0,)
    dev: dict[str, Seconds] = field(default_factory=dict)
    held_out: dict[str, Seconds] = field(default_factory=dict, name="held-out")
    steps: Annotated[int, Meta(ge=1)] | None = None
    slots: Annotated[int, Meta(ge=1, le=1000)] = 2
    traces: Annotated[int, Meta(ge=1, le=1000)] = 3
    settings: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises `ValueError` for a task in both lists, for a suite without runs and for seeds that are none."""
        if both := sorted(self.dev.keys() & self.held_out.keys()):
            raise ValueError(f"task {both[0]} is both dev and held-out")
        if not (self.dev or self.held_out) or not self.seeds or not self.split_seeds:
            raise ValueError("it names no tasks, no seeds or no split seeds, so there is nothing to play")
        try:
            for seed in self.seeds:
                check_seed("seed", seed, SEEDS)
            for seed in self.split_seeds:
                check_seed("split seed", seed, SPLIT_SEEDS)
        except UsageError as error:
            raise ValueError(str(error)) from error
        for name, values in (("seeds", self.seeds), ("split_seeds", self.split_seeds), *self.factors.items()):
            if not values:
                raise ValueError(f"{name} has no values, so there is nothing to play")
            if len({str(value) for value in values}) < len(values):
                raise ValueError(f"{name}: a value stands there twice; each run is played once")


class Cell(Struct, frozen=True, kw_only=True):
    """One run of a suite: what is played, and what its row says of it."""

    suite: str
    split: Split
    factors: dict[str, Value]
    part: Part


def read_suite(name: str) -> Suite:
    """A suite by the name of a shipped one or by its file. Raises `UsageError` naming file and reason."""
    path = Path(name) if name.endswith(".toml") else PLAYED / f"{name}.toml"
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Suite)
    except FileNotFoundError:
        if not name.endswith(".toml") and (SHIPPED / path.name).exists():
            raise UsageError(f"{name} is run for real: gome bench {name}, without world") from None
        known = ", ".join(played())
        raise UsageError(f"there is no suite {name!r}; shipped for the recorded world are {known}") from None
    except OSError as error:
        raise UsageError(f"cannot read the suite {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"{path} is no suite of a recorded world: {error}") from error


def cells(suite: Suite, splits: tuple[Split, ...] = ("dev", "held-out")) -> list[Cell]:
    """All cells, those first that others are paired with: by split, split seed, seed and task, then the factors. Raises
    `UsageError` for a level whose `traces` are no number of traces."""
    found = []
    for split in splits:
        tasks = suite.dev if split == "dev" else suite.held_out
        for split_seed, seed, (task, seconds) in itertools.product(suite.split_seeds, suite.seeds, tasks.items()):
            for levels, chosen in _combinations(suite.factors):
                traces = chosen.pop("traces", suite.traces)
                if not isinstance(traces, int) or not 1 <= traces <= 1000:
                    raise UsageError(f"suite {suite.name}: traces: 1 to 1000 are wanted, not {traces!r}")
                part = Part(
                    task=task,
                    settings=overlaid(suite.settings, chosen),
                    seed=seed,
                    split_seed=split_seed,
                    budget=Budget(seconds=seconds, steps=suite.steps),
                    traces=traces,
                    slots=suite.slots,
                )
                named = {suite.labels.get(key, key.rpartition(".")[2]): value for key, value in levels.items()}
                named.pop("search", None)
                found.append(Cell(suite=suite.name, split=split, factors=named, part=part))
    return found


Factors = Mapping[str, tuple[Value, ...] | dict[str, dict[str, Any]]]


def _combinations(factors: Factors) -> Iterator[tuple[dict[str, Value], dict[str, Any]]]:
    """Every combination of levels: the level of each factor, and the settings by dotted key that they stand for."""
    for levels in itertools.product(*factors.values()):
        named = dict(zip(factors, levels, strict=True))
        settings: dict[str, Any] = {}
        for factor, level in named.items():
            of = factors[factor]
            settings.update(of[str(level)] if isinstance(of, dict) else {factor: level})
        yield named, settings


def overlaid(settings: Mapping[str, Any], dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with some keys replaced, given as `table.key` (or `key` for one of the kernel's)."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(settings))
    for key, value in dotted.items():
        *tables, last = key.split(".")
        at = found
        for table in tables:
            at = at.setdefault(table, {})
        at[last] = value
    return found

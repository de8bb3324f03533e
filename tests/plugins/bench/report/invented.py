"""An invented bench: rows whose true differences are known, drawn from a fixed seed, to test and draw reports with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from gome.plugins.bench.table import Point, Row

GRADIENT = {0.2: -0.12, 0.5: 0.02, 0.8: 0.14, 1.0: 0.2}
"""True lead of the gradient by strength."""
SEARCHES = ("gradient", "aide", "mlmaster", "random")
TASKS = {
    "ames": ("rmsle", False, 0.135, 0.02),
    "credit": ("auc", True, 0.77, 0.03),
    "leaf": ("logloss", False, 0.9, 0.5),
}
"""Metric, whether greater is better, score of the default LightGBM, its distance to the best known."""


def row(search: str = "gradient", task: str = "ames", seed: int = 0, split_seed: int = 7, **given: Any) -> Row:
    """A row with what a test does not care about filled in. Without more, hidden .5 on a way from 1 down to 0."""
    said = {
        "bench": "b",
        "cell": f"{search}-{task}-{seed}-{split_seed}-{given.get('factors')}",
        "run": f"r-{search}-{task}-{seed}-{split_seed}",
        "task_digest": f"sha256:{task.encode().hex():0<64}",
        "reasoner": "playbook",
        "hidden": 0.5,
        "baseline": 1.0,
        "reference": 0.0,
        "playbook": "f" * 64,
        "commit": "abc1234",
        "metric": "rmse",
        **given,
    }
    return Row(search=search, task=task, seed=seed, split_seed=split_seed, **said)


def bench(
    *,
    searches: Sequence[str] = SEARCHES,
    tasks: Sequence[str] = tuple(TASKS),
    strengths: Sequence[float] = tuple(GRADIENT),
    splits: Sequence[int] = (7, 8),
    seeds: Sequence[int] = (0, 1),
    part: str = "dev",
    fail: float = 0.04,
) -> list[Row]:
    """A whole bench with curves, failures and selection losses."""
    random_ = random.Random(5)
    found = []
    for task in tasks:
        metric, greater, base, way = TASKS.get(task, ("rmse", False, 1.0, 0.3))
        for split in splits:
            baseline = base * (1 + random_.gauss(0, 0.03))
            sign = 1.0 if greater else -1.0
            for seed in seeds:
                luck = random_.gauss(0, 0.08)
                for strength in strengths:
                    for search in searches:
                        lead = GRADIENT.get(strength, 0.1) if search == "gradient" else -0.3 * (search == "random")
                        best = 0.35 + 0.35 * strength + lead + luck + random_.gauss(0, 0.07)
                        world = (metric, greater, baseline, sign * way)
                        found.append(_walked(search, task, seed, split, strength, best, random_, fail, part, world))
    return found


def _walked(
    search: str,
    task: str,
    seed: int,
    split: int,
    strength: float,
    best: float,
    random_: random.Random,
    fail: float,
    part: str,
    world: tuple[str, bool, float, float],
) -> Row:
    metric, greater, baseline, way = world
    lost = max(0.0, random_.gauss(0.02, 0.05))
    curve, share = [], 0.0
    for number in range(1, 13):
        share = max(share, best * (1 - 0.7**number) + random_.gauss(0, 0.02))
        at = {"seconds": 9.0 * number, "executions": 2 * number, "completions": 0, "tokens": 0, "money": 0.0}
        scores = {"validation_best": baseline + way * (share + 0.03), "hidden_of_best": baseline + way * share}
        curve.append(Point(attempt=f"a{number}", **at, **scores))
    broken = random_.random() < fail
    hidden = baseline + way * (best - lost)
    return row(
        search,
        task,
        seed,
        split,
        suite="crossover",
        split=part,
        factors={"strength": strength},
        outcome="failed" if broken else "done",
        metric=metric,
        greater_is_better=greater,
        baseline=baseline,
        reference=baseline + way,
        validation=None if broken else hidden + 0.03 * way,
        hidden=None if broken else hidden,
        hidden_se=abs(way) * 0.3,
        best_hidden=None if broken else baseline + way * best,
        quality=max(-1.0, min(1.0, 0.8 * strength - 0.1 + random_.gauss(0, 0.1))),
        seconds=120.0 + random_.random() * 4,
        executions=26,
        execution_seconds=90.0,
        steps=12,
        accepted=5,
        curve=tuple(curve),
    )

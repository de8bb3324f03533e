"""How good a policy is at every moment: the hidden score of the best so far against each budget currency.

Before its first valid attempt a run stands at 0, the default LightGBM that anybody has; then at the hidden score of
the attempt whose validation score is the best so far; from its end on at what it handed in. The area is the mean share
over the budget of a task, which is the most that any run on it spent. Runs whose spending is unknown (money, where a
model has no price) are left out and counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from gome.plugins.bench.report.bootstrap import (
    DRAWS,
    LEVEL,
    Array,
    Estimate,
    Observation,
    centre,
    estimate,
    nested,
    resampled,
)
from gome.plugins.bench.report.scale import Cell, Names, Scale

SPENT = ("seconds", "executions", "completions", "tokens", "money")
"""Currencies that curves are drawn against: fields of `Row` and of `Point`."""
STEPS = 120
TASK_STEPS = 40
CURVE_DRAWS = DRAWS // 2


class Curve(Struct, frozen=True):
    """A policy against one currency: mean share (`mean`, with bounds) at each amount `spent`; `area` as above.
    `left_out` counts runs whose spending is unknown."""

    currency: str
    policy: str
    area: Estimate
    spent: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    left_out: int


class TaskCurve(Struct, frozen=True):
    """A policy on one task in units of the metric: the mean best `validation` score so far and the mean `hidden` score
    of those same attempts at each amount `spent`; None before every run that is averaged has one."""

    task: str
    metric: str
    greater_is_better: bool
    currency: str
    policy: str
    spent: tuple[float, ...]
    validation: tuple[float | None, ...]
    hidden: tuple[float | None, ...]


class Walk(Struct, frozen=True):
    """One run against one currency: shares hold from an amount spent on until the next."""

    spent: tuple[float, ...]
    shares: tuple[float, ...]

    def at(self, spent: Array) -> Array:
        """The share at each amount; 0 before the first."""
        steps = np.searchsorted(np.asarray(self.spent), spent, side="right")
        values: Array = np.asarray((0.0, *self.shares))[steps]
        return values

    def area(self, budget: float) -> float:
        """The mean share from nothing spent to the whole budget."""
        ends = [*self.spent[1:], budget]
        held = zip(self.spent, ends, self.shares, strict=True)
        return sum((min(e, budget) - min(s, budget)) * share for s, e, share in held) / budget


def walk(cell: Cell, scale: Scale, currency: str) -> Walk | None:
    """A run as it went; None without a scale or where its spending is unknown."""
    total = getattr(cell.row, currency)
    if cell.share is None or total is None:
        return None
    spent, shares = [], []
    for point in cell.row.curve:
        at, share = getattr(point, currency), scale.share(point.hidden_of_best)
        if at is None:
            return None
        if share is not None and at <= total:
            spent.append(float(at))
            shares.append(share)
    return Walk((*spent, float(total)), (*shares, cell.share))


def anytime(cells: Sequence[Cell], scales: Sequence[Scale], names: Names) -> list[Curve]:
    """A curve per policy and currency that was used at all, over all contexts."""
    on = {(s.task, s.split): s for s in scales}
    found = []
    for currency in SPENT:
        budgets: dict[str, float] = defaultdict(float)
        for cell in cells:
            budgets[cell.block[0]] = max(budgets[cell.block[0]], float(getattr(cell.row, currency) or 0.0))
        most = max(budgets.values(), default=0.0)
        if not most:
            continue
        grid = np.linspace(0.0, most, STEPS + 1)
        for policy, title in names.policies.items():
            own = [c for c in cells if c.arm.policy == policy and budgets[c.block[0]]]
            found += _curve(title, currency, own, on, budgets, grid)
    return found


def _curve(
    title: str,
    currency: str,
    cells: Sequence[Cell],
    scales: Mapping[tuple[str, int], Scale],
    budgets: Mapping[str, float],
    grid: Array,
) -> list[Curve]:
    walks = [(c.block, walk(c, scales[c.block[:2]], currency)) for c in cells if c.share is not None]
    known = [(block, w) for block, w in walks if w is not None]
    if not known:
        return []
    observed: list[Observation] = [(block[0], block[1], w.at(grid)) for block, w in known]
    tree = nested(observed)
    area = estimate([(block[0], block[1], w.area(budgets[block[0]])) for block, w in known])
    bounds = _bounds(resampled(tree, CURVE_DRAWS)) if area.over else [(None, None)] * len(grid)
    low, high = zip(*bounds, strict=True)
    return [
        Curve(
            currency,
            title,
            area,
            tuple(grid.tolist()),
            tuple(centre(tree).tolist()),
            tuple(low),
            tuple(high),
            len(walks) - len(known),
        )
    ]


def _bounds(draws: Array) -> list[tuple[float | None, float | None]]:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def task_curves(cells: Sequence[Cell], names: Names) -> list[TaskCurve]:
    """A curve per task, currency that was used there, and policy, of the runs that have points."""
    tasks: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.row.curve:
            tasks[cell.block[0]].append(cell)
    found = []
    for task, there in sorted(tasks.items()):
        for currency in SPENT:
            most = max(float(getattr(c.row, currency) or 0.0) for c in there)
            grid = np.linspace(0.0, most, TASK_STEPS + 1)
            for policy, title in names.policies.items():
                own = [c.row for c in there if c.arm.policy == policy]
                if most and own:
                    spent = [[getattr(p, currency) for p in row.curve] for row in own]
                    validation, hidden = (
                        _mean_of_steps(spent, [[getattr(p, name) for p in row.curve] for row in own], grid)
                        for name in ("validation_best", "hidden_of_best")
                    )
                    about = (task, own[0].metric, own[0].greater_is_better, currency, title)
                    found.append(TaskCurve(*about, tuple(grid.tolist()), validation, hidden))
    return found


def _mean_of_steps(
    spent: Sequence[Sequence[float | None]], values: Sequence[Sequence[float | None]], grid: Array
) -> tuple[float | None, ...]:
    """The mean over runs of what holds at each amount; None where a run has nothing yet, or not known when."""
    runs = []
    for at, held in zip(spent, values, strict=True):
        steps = [(a, v) for a, v in zip(at, held, strict=True) if a is not None and v is not None]
        knots = np.array([a for a, _ in steps], dtype=np.float64)
        levels = np.array([np.nan, *(v for _, v in steps)], dtype=np.float64)
        runs.append(levels[np.searchsorted(knots, grid, side="right")])
    return tuple(None if np.isnan(mean) else mean for mean in np.stack(runs).mean(0).tolist())

"""What a bench may take and cost before it begins, and how that was estimated: for `gome bench SUITE --dry-run`.

Time comes from finished runs on the same tasks in this log, scaled by the budget's currency; a budget of seconds is a
bound in any case. Money comes from what plugins say of their calls (`gome.kernel.forecast`), on the first task, and
from limits of the budget. What is not known is said to be unknown, never 0.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from gome.events import Budget
from gome.kernel.cli.output import duration
from gome.kernel.forecast import forecast
from gome.plugins.bench.cells import Cell
from gome.plugins.bench.planning import Plan

if TYPE_CHECKING:
    from gome.events import Task
    from gome.kernel.connect import Connection

LOOKED_AT = 3
"""Finished runs per task that rates are taken from, the latest ones."""


class Estimate(Struct, frozen=True):
    """`seconds` of wall time for the whole bench (None: unknown) and the bound that the budget sets (None: none);
    `money` in USD likewise. `how` says in a sentence each where they come from."""

    seconds: float | None
    seconds_at_most: float | None
    money: float | None
    money_at_most: float | None
    how: tuple[str, ...]


Rates = Mapping[str, Sequence[float]]
"""Active seconds per unit of the currency in finished runs, by task."""


async def rates(connection: Connection, planned: Plan) -> dict[str, list[float]]:
    """What finished runs of this log on the suite's tasks took, per unit of its currency."""
    from gome.kernel.cli.opening import folded
    from gome.kernel.index import RunIndex, key_of

    names = {cell.task_name for cell in planned.cells}
    currency = planned.suite.budget.currency
    with RunIndex(connection.home / "index.sqlite", connection.log) as index:
        listed = await index.rows(key_of(connection))
    found: dict[str, list[float]] = {}
    for row in reversed(listed):
        if row.task not in names or row.state not in ("done", "stopped") or len(found.get(row.task, ())) >= LOOKED_AT:
            continue
        state = await folded(connection, row.run)
        spent = state.ledger.spent(currency)
        if spent > 0:
            found.setdefault(row.task, []).append(state.trajectory.active / spent)
    return found


def estimate(planned: Plan, known: Rates, task: Task | None) -> Estimate:
    """Estimate a bench from rates, and its cost on `task` (None: no cell asks a model)."""
    seconds, at_most, how = _time(planned, known)
    money, money_at_most, said = _money(planned, task)
    return Estimate(seconds, at_most, money, money_at_most, (*how, *said))


def _time(planned: Plan, known: Rates) -> tuple[float | None, float | None, list[str]]:
    suite, cells = planned.suite, planned.cells
    budget = suite.run_budget()
    slots = min(planned.parallel, len(cells))
    at_most = None if budget.seconds is None else budget.seconds * len(cells) / slots
    how = []
    if at_most is not None:
        each = f"{duration(budget.seconds or 0)} of budget for each of {len(cells)} cells"
        how.append(f"time: at most about {duration(at_most)}, by {each}, {slots} at once; preparing comes on top")
    if suite.budget.currency == "seconds":
        return at_most, at_most, how
    every = [rate for rates in known.values() for rate in rates]
    if not every:
        how.append("time: unknown but for that bound" if how else "time: unknown")
        how[-1] += "; no run on these tasks has finished in this log yet (a small bench of them would tell)"
        return None, at_most, how
    costs = [_seconds(cell, known, every, suite.budget.amount) for cell in cells]
    total = max([sum(costs) / slots, *costs])
    total = total if at_most is None else min(total, at_most)
    here = sum(cell.task_name in known for cell in cells)
    unit = suite.budget.currency.replace("_", " ").removesuffix("s")
    how.append(
        f"time: about {duration(total)}, from what each {unit} took in {len(every)} finished runs in this log"
        + (
            ""
            if here == len(cells)
            else f"; {len(cells) - here} cells are on tasks without one and count as the others"
        )
    )
    return total, at_most, how


def _seconds(cell: Cell, known: Rates, every: Sequence[float], amount: float) -> float:
    seconds = statistics.median(known.get(cell.task_name) or every) * amount
    return min(seconds, cell.budget.seconds) if cell.budget.seconds is not None else seconds


def _money(planned: Plan, task: Task | None) -> tuple[float | None, float | None, list[str]]:
    askers = [r for r in planned.resolved if any(p.role == "completion" for p in r.plugins)]
    if not askers:
        return 0.0, 0.0, ["cost: nothing, no language model is asked"]
    budget = planned.suite.run_budget()
    per_treatment = len(planned.cells) // len(planned.resolved)
    asking = per_treatment * len(askers)
    at_most = None if budget.money is None else budget.money * asking
    how = []
    if at_most is not None:
        how.append(
            f"cost: at most about {at_most:.2f} USD, by {budget.money:g} USD of budget for each of {asking} cells"
        )
    if task is None:
        return None, at_most, how
    steps = _steps(budget)
    found = [forecast(r.plugins, r.tables, task, steps).total for r in askers]
    unpriced = sum(f.money is None for f in found)
    per_cell = [f.money for f in found if f.money is not None]
    what = f"{steps} steps" if steps else "one step"
    if unpriced:
        how.append(f"cost: unknown for {unpriced} of {len(found)} treatments: set completion.prices for their models")
    if not per_cell:
        return None, at_most, how
    low, high = min(per_cell), max(per_cell)
    span = f"{low:.4f}" if low == high else f"{low:.4f} to {high:.4f}"
    how.append(f"cost: {span} USD for {what} of a cell, by the calls that plugins announce on task {task.name}")
    if steps is None or unpriced:
        how.append("cost: how many steps a cell will make is not known before it has run")
        return None, at_most, how
    total = sum(per_cell) * per_treatment
    how.append(f"cost: about {total:.2f} USD for all {asking} cells that ask")
    return total, at_most, how


def _steps(budget: Budget) -> int | None:
    """The steps that a run may make at most, as far as its budget says: each executes at least once."""
    limits = [limit for limit in (budget.steps, budget.executions) if limit is not None]
    return min(limits, default=None)

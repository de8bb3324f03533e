"""What a run has spent: a pure fold of events into counts, seconds, tokens and money.

An execution counts from its request, seconds and cost from its result. Deciders and performers ask `over` before
anything new is begun; the kernel's lifecycle turns an exhausted limit into `BudgetExhausted`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gome.events.event import Cost, Event
from gome.events.execution import ExecutionFinished, ExecutionRequested
from gome.events.run import RunStarted
from gome.events.step import StepPlanned
from gome.events.task import Budget


@dataclass(slots=True)
class Ledger:
    """Sums over a run. `by` splits cost by who caused it (decider or performer) and `models` by model."""

    budget: Budget = field(default_factory=Budget)
    steps: int = 0
    executions: int = 0
    execution_seconds: float = 0.0
    completions: int = 0
    tokens: int = 0
    money: float = 0.0
    money_unknown: int = 0
    active: float = 0.0
    by: dict[str, Cost] = field(default_factory=dict)
    models: dict[str, Cost] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Fold one event, in log order."""
        self.active = event.active
        payload = event.payload
        match payload:
            case RunStarted(budget=budget):
                self.budget = budget
            case StepPlanned():
                self.steps += 1
            case ExecutionRequested():
                self.executions += 1
            case ExecutionFinished(seconds=seconds):
                self.execution_seconds += seconds
        if event.cost:
            self._spend(event)

    def _spend(self, event: Event) -> None:
        cost = event.cost
        assert cost is not None
        used = cost.tokens_in + cost.tokens_out
        if cost.model:
            self.completions += 1
            self.tokens += used
            self.models[cost.model] = _add(self.models.get(cost.model), cost)
            if cost.money is None:
                self.money_unknown += 1
        self.money += cost.money or 0.0
        self.by[event.by] = _add(self.by.get(event.by), cost)

    def over(self) -> tuple[str, float, float] | None:
        """The first exhausted limit as (name, spent, allowed), None while all hold."""
        b = self.budget
        for name, spent, allowed in (
            ("seconds", self.active, b.seconds),
            ("executions", float(self.executions), b.executions),
            ("execution_seconds", self.execution_seconds, b.execution_seconds),
            ("completions", float(self.completions), b.completions),
            ("tokens", float(self.tokens), b.tokens),
            ("money", self.money, b.money),
        ):
            if allowed is not None and spent >= allowed:
                return name, spent, float(allowed)
        return None


def _add(total: Cost | None, cost: Cost) -> Cost:
    if total is None:
        return cost
    unknown = total.money is None or cost.money is None
    return Cost(
        seconds=total.seconds + cost.seconds,
        cpu_seconds=total.cpu_seconds + cost.cpu_seconds,
        tokens_in=total.tokens_in + cost.tokens_in,
        tokens_out=total.tokens_out + cost.tokens_out,
        tokens_cached=total.tokens_cached + cost.tokens_cached,
        tokens_reasoning=total.tokens_reasoning + cost.tokens_reasoning,
        money=None if unknown else (total.money or 0.0) + (cost.money or 0.0),
        model=cost.model,
    )

"""What a run has spent and what is reserved: a pure fold of events into counts, seconds, tokens and money.

An open intent holds what it may use at most (`Intent.reserves`); its result releases that and counts what was used, a
failed or cancelled one releases it. So what is spent and held together stays within the limits as long as whoever says
an intent asks `lacks` first; a result that took more than its intent held is the only way beyond. The kernel's
lifecycle turns an exhausted limit (`over`) into `BudgetExhausted`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gome.events.event import Cost, Event, result_id
from gome.events.execution import ExecutionFinished
from gome.events.payload import NOTHING, Intent, Reservation
from gome.events.run import RunFinished, RunForked, RunStarted
from gome.events.step import MemoryRecalled, StepPlanned
from gome.events.task import Budget

HELD = ("executions", "execution_seconds", "completions", "tokens", "money")
"""Limits that intents reserve, in the order in which they are looked at."""


@dataclass(slots=True)
class Ledger:
    """Sums over a run; an execution counts once it has finished; `cached` of them were answered by an earlier one and
    took no execution seconds. `open` are the reservations of open intents by id,
    `by` splits cost by who caused it (decider or performer) and `models` by model. A fold that is not shown every event
    knows as much as it is shown."""

    budget: Budget = field(default_factory=Budget)
    steps: int = 0
    executions: int = 0
    cached: int = 0
    execution_seconds: float = 0.0
    completions: int = 0
    tokens: int = 0
    money: float = 0.0
    money_unknown: int = 0
    active: float = 0.0
    open: dict[str, Reservation] = field(default_factory=dict)
    by: dict[str, Cost] = field(default_factory=dict)
    models: dict[str, Cost] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Fold one event, in log order."""
        self.active = event.active
        payload = event.payload
        if event.cause in self.open and event.id == result_id(event.cause):
            del self.open[event.cause]
        match payload:
            case Intent():
                if (held := payload.reserves()) != NOTHING:
                    self.open[event.id] = held
            case ExecutionFinished(seconds=seconds, cached=cached):
                self.executions += 1
                self.cached += cached
                self.execution_seconds += 0.0 if cached else seconds
            case StepPlanned():
                self.steps += 1
            case RunStarted(budget=budget):
                self.budget = budget
            case RunForked(budget=Budget() as budget):
                self.budget = budget
            case RunFinished():
                self.open.clear()
        if event.cost:
            self._spend(event)

    def _spend(self, event: Event) -> None:
        cost = event.cost
        assert cost is not None
        used = cost.tokens_in + cost.tokens_out
        if cost.model:
            # Embeddings are paid for like completions, but a budget of completions does not mean them.
            self.completions += not isinstance(event.payload, MemoryRecalled)
            self.tokens += used
            self.models[cost.model] = _add(self.models.get(cost.model), cost)
            if cost.money is None:
                self.money_unknown += 1
        self.money += cost.money or 0.0
        self.by[event.by] = _add(self.by.get(event.by), cost)

    def over(self) -> tuple[str, float, float] | None:
        """The first exhausted limit as (name, spent, allowed), None while all hold. Reservations do not count: what is
        in flight may still use less."""
        for name in ("seconds", *HELD):
            allowed = getattr(self.budget, name)
            if allowed is not None and (spent := self.spent(name)) >= allowed:
                return name, spent, float(allowed)
        return None

    def spent(self, name: str) -> float:
        """What has been used of a limit (a field of `Budget`)."""
        return self.active if name == "seconds" else float(getattr(self, name))

    def reserved(self, name: str) -> float:
        """What open intents hold of a limit; it is added up each time, so that nothing of them is left behind."""
        return float(sum(getattr(held, name) for held in self.open.values())) if name in HELD else 0.0

    def left(self, name: str) -> float | None:
        """What a new intent may still reserve of a limit (a field of `Budget`), ≥ 0; None where there is none."""
        allowed = getattr(self.budget, name)
        return None if allowed is None else max(0.0, allowed - self.spent(name) - self.reserved(name))

    def lacks(self, wanted: Reservation) -> tuple[str, float, float] | None:
        """The first limit of which less is left than an intent wants to reserve, as (name, wanted, left)."""
        for name in HELD:
            amount = getattr(wanted, name)
            if amount > 0 and (left := self.left(name)) is not None and amount > left:
                return name, float(amount), left
        return None

    def fits(self, wanted: Reservation) -> bool:
        """Whether an intent that reserves so much may be said."""
        return self.lacks(wanted) is None

    def may_fit(self, wanted: Reservation) -> bool:
        """Whether it may be said at least when open intents turn out to have used nothing."""
        limits = ((getattr(wanted, n), getattr(self.budget, n), self.spent(n)) for n in HELD)
        return all(not amount or allowed is None or spent + amount <= allowed for amount, allowed, spent in limits)


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

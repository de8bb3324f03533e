"""A run's calls to language models, counted by name: what was asked, what worked, what it took. A fold of the log.

For `gome show RUN --calls` and `make llm`; the ledger keeps the sums that decisions depend on.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field

from msgspec import Struct

from gome.events import (
    CompletionFailed,
    CompletionReceived,
    CompletionRequested,
    EffectCancelled,
    EffectFailed,
    Event,
    result_id,
)


class CallRow(Struct, frozen=True):
    """All calls of one name. `answered` of `asked` came back, `again` of them were asked because an earlier reply of
    the same effect was cut or did not fit; `failures` says why others did not. Tokens and seconds are sums, `wait` is
    the median of seconds of a call; `money` is in USD, None as soon as one price is unknown."""

    name: str
    models: tuple[str, ...]
    modes: tuple[str, ...]
    asked: int
    answered: int
    again: int
    cut: int
    failures: dict[str, int]
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_reasoning: int
    money: float | None
    seconds: float
    wait: float


@dataclass
class _Name:
    asked: int = 0
    again: int = 0
    cut: int = 0
    models: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    money: float | None = 0.0
    seconds: list[float] = field(default_factory=list)


class Calls:
    """The fold: `apply` every event of a run in order, then `rows`."""

    def __init__(self) -> None:
        self._names: dict[str, _Name] = {}
        self._open: dict[str, str] = {}
        self._parents: set[tuple[str, str]] = set()

    def apply(self, event: Event) -> None:
        """Fold one event."""
        payload = event.payload
        if isinstance(payload, CompletionRequested):
            found = self._names.setdefault(payload.name, _Name())
            found.asked += 1
            found.again += (event.cause, payload.name) in self._parents
            self._parents.add((event.cause, payload.name))
            self._open[event.id] = payload.name
            return
        name = self._open.get(event.cause, "")
        if not name or event.id != result_id(event.cause):
            return
        del self._open[event.cause]
        found = self._names[name]
        match payload:
            case CompletionReceived():
                found.models[payload.model] += 1
                found.modes[payload.mode] += 1
                found.cut += payload.finish == "length"
            case CompletionFailed():
                found.failures[payload.failure] += 1
            case EffectCancelled():
                found.failures["cancelled"] += 1
            case EffectFailed():
                found.failures["effect"] += 1
        if event.cost is not None:
            cost = event.cost
            found.tokens += Counter(
                {"in": cost.tokens_in, "out": cost.tokens_out, "cached": cost.tokens_cached}
                | {"reasoning": cost.tokens_reasoning}
            )
            found.money = None if found.money is None or cost.money is None else found.money + cost.money
            found.seconds.append(cost.seconds)

    def rows(self) -> list[CallRow]:
        """A row for each name, in the order in which they were first asked."""
        return [
            CallRow(
                name=name,
                models=tuple(sorted(f.models)),
                modes=tuple(sorted(f.modes)),
                asked=f.asked,
                answered=sum(f.models.values()),
                again=f.again,
                cut=f.cut,
                failures=dict(sorted(f.failures.items())),
                tokens_in=f.tokens["in"],
                tokens_out=f.tokens["out"],
                tokens_cached=f.tokens["cached"],
                tokens_reasoning=f.tokens["reasoning"],
                money=f.money,
                seconds=sum(f.seconds),
                wait=statistics.median(f.seconds) if f.seconds else 0.0,
            )
            for name, f in self._names.items()
        ]

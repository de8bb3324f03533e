"""What a run's calls to language models will come to, before the first one is made: for `gome run --dry-run`.

Plugins say which calls they make per step and per run (`Plugin.calls`); here they are multiplied by the steps of the
budget and priced. A price that is not in the settings makes the sum unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from gome.events import Task
from gome.kernel.completing import money_of
from gome.kernel.loop import completion_settings
from gome.kernel.plugin import Plugin


class Forecast(Struct, frozen=True):
    """Expected calls of one name, with the tokens of all of them and their price in USD (None: unknown)."""

    name: str
    model: str
    calls: float
    tokens_in: int
    tokens_out: int
    money: float | None


class Forecasts(Struct, frozen=True):
    """Expected calls for so many steps (1 where the budget does not count steps: then all figures are per step)."""

    steps: int
    per_step: bool
    calls: tuple[Forecast, ...]

    @property
    def total(self) -> Forecast:
        """The sum; its price is unknown as soon as one of them is."""
        prices = [f.money for f in self.calls]
        return Forecast(
            "total",
            "",
            sum(f.calls for f in self.calls),
            sum(f.tokens_in for f in self.calls),
            sum(f.tokens_out for f in self.calls),
            None if None in prices else sum(p for p in prices if p is not None),
        )

    def lines(self) -> list[str]:
        """The forecast for a person."""
        shown = [f"{f.name} ({f.model}): {_figures(f)}" for f in self.calls]
        what = "for each step" if self.per_step else f"for {self.steps} steps"
        return [*shown, f"{what}: {_figures(self.total)}"] if shown else []


def _figures(f: Forecast) -> str:
    price = "price unknown (set completion.prices)" if f.money is None else f"about {f.money:.3f} USD"
    return f"{f.calls:g} calls, about {f.tokens_in:,} tokens in and {f.tokens_out:,} out, {price}"


def forecast(plugins: Sequence[Plugin], tables: Mapping[str, Any], task: Task, steps: int | None) -> Forecasts:
    """Forecast the calls of a run with these plugins and resolved settings."""
    asked = completion_settings(tables)
    count = steps or 1
    found = []
    for plugin in plugins:
        for c in plugin.calls(dict(tables), task) if plugin.calls else ():
            calls = c.per_run + c.per_step * count
            model = asked.model_for(c.role)
            tokens_in, tokens_out = round(calls * c.tokens_in), round(calls * c.tokens_out)
            money = money_of(asked.price_of(model), tokens_in, tokens_out)
            found.append(Forecast(c.name, model, calls, tokens_in, tokens_out, money))
    return Forecasts(count, steps is None, tuple(f for f in found if f.calls))

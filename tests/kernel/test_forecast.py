"""What a run's calls to language models will come to, said before the first one."""

from __future__ import annotations

from typing import Any

from gome.events import Task
from gome.kernel.forecast import forecast
from gome.kernel.plugin import Calls, Plugin
from tests.kernel import toy


def calls(tables: dict[str, Any], task: Task) -> list[Calls]:
    settings = tables.get("talker", {})
    return [
        Calls("scenario", "researcher", 3000, 500, per_run=1),
        Calls("code", "developer", 5000, 2000, per_step=settings.get("rewrites", 1)),
    ]


talker = Plugin(name="talker", role="reasoner", calls=calls)
PRICES = {"prices": {"big": {"input": 2.0, "output": 10.0}}, "model": "big"}


def test_calls_are_multiplied_by_the_steps_of_the_budget_and_priced() -> None:
    found = forecast([talker], {"completion": PRICES, "talker": {"rewrites": 2}}, toy.TASK, 10)
    assert [(f.name, f.calls) for f in found.calls] == [("scenario", 1), ("code", 20)]
    total = found.total
    assert (total.calls, total.tokens_in, total.tokens_out) == (21, 103_000, 40_500)
    assert total.money is not None and abs(total.money - (0.206 + 0.405)) < 1e-9
    assert found.lines()[-1].startswith("for 10 steps: 21 calls")


def test_one_unknown_price_makes_the_sum_unknown_and_says_what_to_set() -> None:
    tables = {"completion": {**PRICES, "developer": "other"}}
    found = forecast([talker], tables, toy.TASK, 10)
    assert [f.money is None for f in found.calls] == [False, True]
    assert found.total.money is None
    assert "price unknown (set completion.prices)" in found.lines()[-1]


def test_without_a_budget_of_steps_the_figures_are_per_step() -> None:
    found = forecast([talker], {"completion": PRICES}, toy.TASK, None)
    assert found.per_step and found.lines()[-1].startswith("for each step: 2 calls")


def test_plugins_that_ask_no_model_forecast_nothing() -> None:
    assert forecast(toy.PLUGINS, {}, toy.TASK, 5).lines() == []

"""Which plugins and models a run gets that asks language models, and what is refused before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from gome.events import Budget, Cost, Ledger, RunFinished, Trajectory
from gome.kernel.discovery import Found, choose, discover
from gome.kernel.errors import PluginError, UsageError
from gome.kernel.models import check_models, overrides
from gome.kernel.plugin import Plugin, Role
from gome.kernel.reasoning import as_plugin
from gome.kernel.report import spent
from gome.kernel.request import Request, resolve_settings
from gome.kernel.results import summarise
from gome.kernel.settings import load
from tests.kernel import toy


class Asker:
    """A reasoner that would ask a model."""

    needs = ("completion",)

    def propose(self, context: Any) -> None: ...

    def reflect(self, context: Any) -> None: ...


ASKER = as_plugin(Asker(), name="asker", needs=("completion",))  # type: ignore[arg-type]


def with_asker() -> list[Found]:
    """What is installed, and the asker."""
    return [*discover(), Found("gome.reasoners", "reasoner", "asker", "", "x", "1", ASKER)]


def chosen(*names: tuple[Role, str]) -> list[Plugin]:
    return choose(with_asker(), dict(names))


def names(plugins: list[Plugin]) -> dict[str, str]:
    return {p.role: p.name for p in plugins if p.role != "plugin"}


def test_a_run_whose_plugins_ask_no_model_has_no_completion_plugin() -> None:
    assert "completion" not in names(chosen())
    assert "completion" not in resolve_names({})


def resolve_names(named: dict[str, str]) -> set[str]:
    return set(names(choose(discover(), named)))


def test_a_run_with_a_plugin_that_asks_gets_the_default_completion_plugin() -> None:
    assert names(chosen(("reasoner", "asker")))["completion"] == "openai"


def test_a_completion_plugin_that_is_named_is_taken_whoever_asks() -> None:
    assert names(chosen(("completion", "openai")))["completion"] == "openai"
    with pytest.raises(PluginError, match="there is no completion called nobody"):
        chosen(("completion", "nobody"))


def test_a_model_that_is_needed_must_be_named() -> None:
    plugins = chosen(("reasoner", "asker"))
    with pytest.raises(UsageError, match=r"reasoner asker asks a language model, and none is set.*--model"):
        check_models(plugins, {"completion": {}}, Budget())
    with pytest.raises(UsageError, match="none is set"):
        check_models(plugins, {"completion": {"researcher": "m"}}, Budget())
    check_models(plugins, {"completion": {"model": "m"}}, Budget())
    check_models(plugins, {"completion": {"researcher": "a", "developer": "b", "judge": "c"}}, Budget())
    check_models(chosen(), {"completion": {}}, Budget())


def test_a_limit_on_money_needs_the_price_of_every_model() -> None:
    plugins, limited = chosen(("reasoner", "asker")), Budget(money=1.0)
    prices = {"m": {"input": 1.0, "output": 2.0}}
    check_models(plugins, {"completion": {"model": "m", "prices": prices}}, limited)
    with pytest.raises(UsageError, match=r"what coder costs: set completion\.prices"):
        check_models(plugins, {"completion": {"model": "m", "developer": "coder", "prices": prices}}, limited)
    check_models(chosen(), {"completion": {}}, limited)


def test_flags_about_models_mean_nothing_where_none_is_asked() -> None:
    with pytest.raises(UsageError, match="--model means nothing here"):
        overrides(chosen(), "m", "")
    with pytest.raises(UsageError, match="--base-url means nothing here"):
        overrides(chosen(), "", "http://x")
    silent = [Plugin(name="quiet", role="completion")]
    with pytest.raises(UsageError, match="quiet has no such setting"):
        overrides(silent, "m", "http://x")


def tables(settings: dict[str, Any], *sets: str, **asked: Any) -> dict[str, Any]:
    """The tables that a run with the asker records."""
    loaded = load(flags=settings, sets=sets)
    request = Request(spec="t", settings=loaded.plugins, **asked)
    return resolve_settings(chosen(("reasoner", "asker")), request, loaded)


def test_the_command_line_wins_over_the_settings() -> None:
    given = {"completion": {"model": "a", "effort": "low"}, "openai": {"base_url": "http://a", "tries": 2}}
    found = tables(given, model="b", base_url="http://b/v1")
    assert (found["completion"]["model"], found["completion"]["effort"]) == ("b", "low")
    assert (found["openai"]["base_url"], found["openai"]["tries"]) == ("http://b/v1", 2)
    assert tables(given)["completion"]["model"] == "a"


def test_a_file_may_hold_tables_of_plugins_that_take_no_part() -> None:
    loaded = load(flags={"openai": {"base_url": "http://a"}})
    recorded = resolve_settings(choose(discover(), {}), Request(spec="t", settings=loaded.plugins), loaded)
    assert "openai" not in recorded
    wrong = load(flags={"openai": {"base_ur": "http://a"}})
    with pytest.raises(UsageError, match=r"openai\.base_ur: there is no such setting"):
        resolve_settings(choose(discover(), {}), Request(spec="t", settings=wrong.plugins), wrong)


def test_the_completion_plugin_is_named_inside_its_table() -> None:
    loaded = load(flags={"completion": {"plugin": "recorded", "model": "m"}})
    assert loaded.roles == {"completion": "recorded"} and loaded.plugins == {"completion": {"model": "m"}}
    assert ("completion.plugin", "recorded", "command line") in loaded.explain()
    with pytest.raises(UsageError, match=r"completion is a table; its plugin is named by completion\.plugin"):
        load(sets=["completion=recorded"])
    with pytest.raises(UsageError, match=r"completion\.plugin: a text is wanted"):
        load(sets=["completion.plugin=3"])


def test_setting_a_plugin_that_takes_no_part_for_one_run_is_refused() -> None:
    loaded = load(sets=["openai.tries=3"])
    with pytest.raises(UsageError, match="plugin openai takes no part in this run"):
        resolve_settings(choose(discover(), {}), Request(spec="t", settings=loaded.plugins), loaded)


def summary_with(*costs: Cost) -> str:
    ledger = Ledger()
    for cost in costs:
        ledger.completions += 1
        ledger.money += cost.money or 0.0
        ledger.money_unknown += cost.money is None
        ledger.models[cost.model] = cost
    t = Trajectory()
    t.started, t.finished = toy.started(), RunFinished("done", "")
    return spent(summarise("r", t, {}, ledger))


def test_money_that_is_unknown_is_shown_as_unknown_never_as_nothing() -> None:
    known = Cost(tokens_in=1200, tokens_out=30, money=0.25, model="a")
    unknown = Cost(tokens_in=5, tokens_out=6, money=None, model="b")
    assert summary_with() == ""
    assert summary_with(known) == "1 call to a: 1,200 tokens in, 30 out, $0.2500"
    assert summary_with(known, unknown).endswith("cost unknown (no price in completion.prices)")

"""Which models a run asks, checked before anything starts: that each is named, and priced where money is limited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import msgspec

from gome.events import Budget, CompletionRole
from gome.kernel.errors import UsageError
from gome.kernel.loop import completion_settings
from gome.kernel.plugin import Plugin


def overrides(plugins: Sequence[Plugin], model: str, base_url: str) -> dict[str, dict[str, Any]]:
    """What `--model` and `--base-url` set, by table: the address belongs to the plugin that plays `completion`. Raises
    `UsageError` where they mean nothing."""
    asker = next((p for p in plugins if p.role == "completion"), None)
    given = "--model" if model else "--base-url"
    if asker is None:
        if model or base_url:
            raise UsageError(
                f"{given} means nothing here: no plugin of this run asks a language model; name a reasoner or mutator "
                'that does (`gome plugins`); one of your own says so with needs = ("completion",)'
            )
        return {}
    found: dict[str, dict[str, Any]] = {"completion": {"model": model}} if model else {}
    if base_url:
        if asker.settings is None or "base_url" not in _fields(asker.settings):
            raise UsageError(f"--base-url means nothing here: completion plugin {asker.name} has no such setting")
        found[asker.name] = {"base_url": base_url}
    return found


def check_models(plugins: Sequence[Plugin], tables: Mapping[str, Any], budget: Budget) -> None:
    """Raise `UsageError` when a run with these settings would ask a model that nobody has named, or would spend money
    from a limited budget on one whose price is unknown."""
    askers = [p for p in plugins if "completion" in p.needs]
    if not askers and not any(p.role == "completion" for p in plugins):
        return
    settings = completion_settings(tables)
    roles: tuple[CompletionRole, ...] = get_args(CompletionRole)
    if not all(settings.model_for(role) for role in roles):
        who = " and ".join(f"{p.role} {p.name}" for p in askers) or "this run"
        ask = "ask" if len(askers) > 1 else "asks"
        raise UsageError(f"{who} {ask} a language model, and none is set: name one with --model (completion.model)")
    if budget.money is None:
        return
    for model in dict.fromkeys(settings.model_for(role) for role in roles):
        if settings.price_of(model) is None:
            price = f"--set 'completion.prices.\"{model}\"={{input=…, output=…}}'"
            raise UsageError(
                f"--max-cost needs to know what {model} costs: set completion.prices, in USD per million tokens, such "
                f"as {price}"
            )


def _fields(struct: type) -> set[str]:
    return {f.encode_name for f in msgspec.structs.fields(struct)}

"""The part of `gome doctor` that asks a language model: one call with a schema, and what to do when it fails."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gome.events import CompletionFailed, CompletionFailure, CompletionReceived, CompletionRequested, Message, Text
from gome.kernel.cli.opening import complete
from gome.kernel.completing import ReplyError, estimate_tokens, parse, schema_of
from gome.kernel.discovery import discover
from gome.kernel.errors import GomeError, UsageError
from gome.kernel.loop import TABLES, completion_settings
from gome.kernel.models import overrides
from gome.kernel.plugin import Check, Plugin
from gome.kernel.report import dollars
from gome.kernel.settings import plugin_settings
from gome.kernel.solo import perform_once

if TYPE_CHECKING:
    from gome.kernel.settings import Settings

ADVICE: Mapping[CompletionFailure, str] = {
    "auth": "put a valid key into the variable that the message names, or name another one in the plugin's settings",
    "model": "correct --model or --base-url; the endpoint's list of models is at BASE/models",
    "request": "the endpoint cannot do something that the settings of [completion] ask for: leave it out",
    "refused": "the endpoint filters harmless questions; use another model",
    "rate": "wait, or lower the plugin's concurrency; with nothing left in the account, top it up",
    "server": "the endpoint has trouble; try again later",
    "unreachable": "is the server running, and is --base-url right? A proxy is taken from HTTPS_PROXY and NO_PROXY",
    "timeout": "the model is slow or hangs; raise the plugin's time limits if it is only slow",
    "protocol": "is --base-url an OpenAI-compatible endpoint (usually it ends in /v1)?",
    "missing": "the reply is not among the recorded ones",
}
"""What to do about each way to fail."""


class Capital(Struct, frozen=True):
    """What the model is asked for."""

    city: str
    letters: int


def check_model(settings: Settings, model: str, base_url: str) -> Check:
    """Ask a model one question whose answer has a schema; `model` and `base_url` are "" where settings say it."""
    try:
        settings.export_secrets()
        plugin = _plugin(settings)
        tables = _tables(settings, plugin, model, base_url)
        model = completion_settings(tables).model_for("researcher")
        if not model:
            raise UsageError("no model is named: add --model NAME")
        asked = _question(model, tables)
        with tempfile.TemporaryDirectory(prefix="gome-doctor-") as folder:
            result = complete(lambda: perform_once(plugin, asked, tables, Path(folder)))
    except GomeError as error:
        return Check("model", False, str(error), "correct it, or see `gome plugins`")
    cost, reply = result.cost, result.payload
    if isinstance(reply, CompletionFailed):
        tries = f" ({reply.tries} tries)" if reply.tries > 1 else ""
        return Check("model", False, f"{model}: {reply.reason}{tries}", ADVICE[reply.failure])
    if not isinstance(reply, CompletionReceived) or cost is None:
        what = f"{model}: plugin {plugin.name} answered with {type(reply).__name__}, which is no completion"
        return Check("model", False, what, "choose another plugin with the setting `completion`")
    counted = "estimated tokens" if reply.estimated else "tokens"
    reasoning = f" ({cost.tokens_reasoning} reasoning)" if cost.tokens_reasoning else ""
    told = (
        f"{model} answers, served by {reply.model}; shape by {reply.mode}; "
        f"{cost.tokens_in} + {cost.tokens_out}{reasoning} {counted}; "
        f"first token after {reply.first_token_seconds:.2f} s, all after {cost.seconds:.2f} s; {dollars(cost.money)}"
    )
    try:
        parse(str(reply.text), Capital)
    except ReplyError as error:
        why = f"; but not in the shape that was asked for: {error}"
        return Check("model", False, told + why, "replies will need repairs; a larger model does better")
    return Check("model", True, told)


def _plugin(settings: Settings) -> Plugin:
    name = settings.roles.get("completion", "")
    for found in discover():
        p = found.plugin
        if p is not None and p.role == "completion" and (p.name == name or (not name and p.default)):
            return p
    raise UsageError(f"there is no completion plugin {name}".rstrip())


def _tables(settings: Settings, plugin: Plugin, model: str, base_url: str) -> dict[str, Any]:
    over = overrides([plugin], model, base_url)
    structs = {**TABLES, **({plugin.name: plugin.settings} if plugin.settings else {})}
    return {
        name: msgspec.to_builtins(
            plugin_settings(name, struct, settings.plugins.get(name, {}), over.get(name), settings.origins)
        )
        for name, struct in structs.items()
    }


def _question(model: str, tables: Mapping[str, Any]) -> CompletionRequested:
    asking = completion_settings(tables)
    system = "You answer questions of geography."
    user = "What is the capital of France, and how many letters has its name? Give `city` and `letters` as JSON."
    return CompletionRequested(
        name="doctor",
        model=model,
        messages=(Message("system", Text.of(system)), Message("user", Text.of(user))),
        schema=schema_of(Capital),
        effort=asking.effort,
        temperature=asking.temperature,
        seed=asking.seed,
        max_tokens=asking.max_tokens,
        tokens_in=estimate_tokens(system + user),
    )

"""The pure parts: which quirks fit, where requests go, what the strict subset keeps, how the limit adapts."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest

from gome.kernel.completing import schema_of
from gome.kernel.errors import UsageError
from gome.kernel.settings import plugin_settings
from gome.plugins.completion.openai.limit import Limit
from gome.plugins.completion.openai.quirks import address, quirks_of, rules
from gome.plugins.completion.openai.schema import strict
from gome.plugins.completion.openai.settings import Settings


class Idea(msgspec.Struct):
    """A reply's part, with defaults."""

    statement: str
    score: float = 5.0
    tags: list[str] = msgspec.field(default_factory=list)


class Ideas(msgspec.Struct):
    """A reply."""

    ideas: list[Idea]
    best: Idea | None = None


OPENAI, AZURE = "https://api.openai.com/v1", "https://mine.openai.azure.com"


def test_rules_fit_by_host_path_and_model_and_later_ones_win() -> None:
    assert quirks_of(OPENAI, "gpt-4o").names == {"max_tokens": "max_completion_tokens"}
    assert quirks_of(OPENAI, "gpt-5-mini").drop == {"temperature"}
    assert quirks_of("http://localhost:4000", "openai/GPT-5").drop == {"temperature"}, "behind a prefix, in capitals"
    assert quirks_of(OPENAI, "gpt-5-chat-latest").drop == frozenset()
    assert quirks_of("https://api.deepseek.com/v1", "deepseek-chat").mode == "json"
    assert quirks_of("http://localhost:11434/v1", "llama3").mode == "schema"


def test_every_shipped_rule_says_what_it_is_for_and_when_it_fits() -> None:
    assert rules()
    assert all(rule.about and rule.sets and (rule.host or rule.path or rule.model) for rule in rules())


def test_azure_deployments_are_found_from_a_bare_host_and_newer_paths_have_no_version() -> None:
    def at(base: str) -> str:
        return address(base, "gpt-4o", quirks_of(base, "gpt-4o"))

    assert at(AZURE) == f"{AZURE}/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    assert at(f"{AZURE}/openai/v1") == f"{AZURE}/openai/v1/chat/completions"
    assert at(OPENAI) == f"{OPENAI}/chat/completions"


def test_the_strict_subset_closes_objects_and_drops_what_cannot_be_enforced() -> None:
    inner = {"type": "object", "properties": {"x": {"type": "number", "minimum": 0}}, "required": ["x"]}
    schema = {
        "title": "Reply",
        "type": "object",
        "properties": {
            "kind": {"const": "a", "default": "a"},
            "items": {"type": "array", "items": {"$ref": "#/$defs/Inner", "description": "one"}, "maxItems": 3},
            "maybe": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Inner"}], "default": None},
        },
        "required": [],
        "$defs": {"Inner": inner},
    }
    assert strict(schema) == {
        "title": "Reply",
        "type": "object",
        "properties": {
            "kind": {"enum": ["a"]},
            "items": {"type": "array", "items": {"$ref": "#/$defs/Inner"}},
            "maybe": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Inner"}]},
        },
        "required": ["kind", "items", "maybe"],
        "additionalProperties": False,
        "$defs": {
            "Inner": {
                "type": "object",
                "properties": {"x": {"type": "number"}},
                "required": ["x"],
                "additionalProperties": False,
            }
        },
    }


@pytest.mark.parametrize(
    "part",
    [
        {"type": "object", "additionalProperties": {"type": "number"}},
        {"type": "array", "prefixItems": [{"type": "number"}]},
        {"type": "array"},
        {},
    ],
    ids=["free keys", "tuple", "any items", "anything"],
)
def test_what_the_strict_subset_cannot_say_is_not_said_in_it(part: dict[str, Any]) -> None:
    assert strict({"type": "object", "properties": {"x": part}}) is None


def test_schemas_of_replies_are_in_the_strict_subset() -> None:
    closed = strict(schema_of(Ideas))
    assert closed is not None and closed["$defs"]["Idea"]["required"] == ["statement", "score", "tags"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"base_url": "localhost:8000"}, "base_url"),
        ({"base_url": "https://user:pass@host/v1"}, "base_url"),
        ({"base_url": "https://host/v1?key=abc"}, "base_url"),
        ({"key_variable": "sk-abc-def"}, "key_variable"),
        ({"headers": {"Authorization": "Bearer abc"}}, "Authorization"),
        ({"tries": 0}, "tries"),
        ({"base": "x"}, "base_url"),
    ],
)
def test_settings_that_mean_nothing_or_hold_a_secret_are_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        plugin_settings("openai", Settings, table)
    assert said in str(error.value) and "abc" not in str(error.value) and "pass" not in str(error.value)


def test_durations_may_have_units() -> None:
    assert plugin_settings("openai", Settings, {"total": "10m", "first_token": "90s"}).total == 600


@pytest.mark.anyio
async def test_the_limit_halves_once_per_round_of_refusals_and_grows_by_one_per_round_of_successes() -> None:
    limit = Limit(8)
    async with limit.slot() as first, limit.slot() as second:
        limit.too_many(first)
        limit.too_many(second)
        assert limit.size == 4, "two refusals of one round"
    async with limit.slot() as later:
        limit.too_many(later)
    assert limit.size == 2
    limit.succeeded()
    limit.succeeded()
    assert 2.8 < limit.size <= 3
    for _ in range(100):
        limit.succeeded()
    assert limit.size == 8, "it never grows beyond what is set"
    for _ in range(10):
        async with limit.slot() as now:
            limit.too_many(now)
    assert limit.size == 1, "one call is always allowed"


@pytest.mark.anyio
async def test_the_limit_holds_those_back_who_are_too_many_and_forgets_those_who_leave() -> None:
    limit = Limit(2)
    most = 0

    async def work() -> None:
        nonlocal most
        async with limit.slot():
            most = max(most, limit.active)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        for _ in range(9):
            group.start_soon(work)
    assert most == 2 and limit.active == 0
    async with limit.slot(), limit.slot():
        with anyio.move_on_after(0.01):
            async with limit.slot():
                raise AssertionError("a third one got in")
    async with limit.slot(), limit.slot():
        assert limit.active == 2

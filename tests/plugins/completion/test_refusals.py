"""An endpoint that cannot do something: it is asked differently, and asked so from then on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gome.plugins.completion.openai.dialect import forget
from tests.llm_server import Call, LLMServer, Reply
from tests.plugins.completion.asking import SCHEMA, Asker

pytestmark = pytest.mark.anyio
GOOD = {"name": "abc", "weight": 1}
FULL: dict[str, Any] = {"schema": SCHEMA, "temperature": 0.5, "seed": 1, "effort": "low"}


@pytest.fixture(autouse=True)
def _nothing_learnt() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.mark.parametrize(
    ("refused", "sent"),
    [
        ("temperature", "temperature"),
        ("seed", "seed"),
        ("reasoning_effort", "reasoning_effort"),
        ("stream_options", "stream_options"),
        ("stream", "stream"),
    ],
)
async def test_a_refused_parameter_is_left_out_and_that_is_remembered(tmp_path: Path, refused: str, sent: str) -> None:
    with LLMServer(GOOD, refuses=[refused]) as server:
        asker = Asker(server.url, tmp_path)
        first, second = await asker.received(**FULL), await asker.received(**FULL)
    assert (first.tries, second.tries) == (2, 1)
    assert [sent in call.body for call in server.calls] == [True, False, False]
    kept = {"temperature", "seed", "reasoning_effort", "max_tokens", "response_format"} - {sent}
    assert kept <= set(server.calls[2].body)


async def test_what_one_model_refuses_others_at_the_endpoint_are_still_sent(tmp_path: Path) -> None:
    with LLMServer("hi", refuses=["temperature"]) as server:
        asker = Asker(server.url, tmp_path)
        await asker.received(temperature=0.5, model="a")
        await asker.received(temperature=0.5, model="b")
    assert [(c.model, "temperature" in c.body) for c in server.calls] == [
        ("a", True),
        ("a", False),
        ("b", True),
        ("b", False),
    ]


async def test_max_tokens_is_called_by_its_other_name_where_that_is_wanted(tmp_path: Path) -> None:
    why = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    with LLMServer("hi", refuses={"max_tokens": why}) as server:
        received = await Asker(server.url, tmp_path).received(max_tokens=50)
    assert received.tries == 2
    assert server.calls[1].body["max_completion_tokens"] == 50 and "max_tokens" not in server.calls[1].body


async def test_a_limit_that_is_too_large_is_left_to_the_endpoint(tmp_path: Path) -> None:
    why = "'max_tokens' is too large: 16000. This model's maximum context length is 8192 tokens (16000 > 8192 - 20)"
    with LLMServer("hi", refuses={"max_tokens": why}) as server:
        await Asker(server.url, tmp_path).received()
    assert not {"max_tokens", "max_completion_tokens"} & set(server.calls[1].body)


async def test_schemas_that_are_refused_are_asked_for_as_json_in_words_and_at_last_as_text(tmp_path: Path) -> None:
    with LLMServer(GOOD, refuses=["json_schema"]) as server:
        asker = Asker(server.url, tmp_path)
        first, second = await asker.received(schema=SCHEMA), await asker.received(schema=SCHEMA)
    assert [call.mode for call in server.calls] == ["json_schema", "json_object", "json_object"]
    assert (first.mode, second.mode) == ("json", "json")
    assert '"minLength":3' in server.calls[1].system and "be brief" in server.calls[1].system
    with LLMServer(GOOD, refuses=["json_schema", "json_object"]) as server:
        received = await Asker(server.url, tmp_path).received(schema=SCHEMA)
    assert [call.mode for call in server.calls] == ["json_schema", "json_object", "text"]
    assert received.mode == "text" and '"minLength":3' in server.calls[2].system


async def test_one_schema_that_is_refused_does_not_speak_for_the_others(tmp_path: Path) -> None:
    def odd(call: Call) -> Any:
        if "odd" in str(call.schema):
            return Reply(status=400, error="Invalid schema for response_format 'call': 'odd' is a strange property")
        return GOOD

    with LLMServer(odd) as server:
        asker = Asker(server.url, tmp_path)
        await asker.received(schema={"type": "object", "properties": {"odd": {"type": "string"}}})
        received = await asker.received(schema=SCHEMA)
    assert [call.mode for call in server.calls] == ["json_schema", "json_object", "json_schema"]
    assert received.mode == "schema"


async def test_an_endpoint_that_does_not_say_what_it_dislikes_is_asked_without_the_schema(tmp_path: Path) -> None:
    with LLMServer(lambda call: GOOD if call.mode == "text" else Reply(status=400, error="bad request")) as server:
        asker = Asker(server.url, tmp_path)
        await asker.received(schema=SCHEMA)
        assert (await asker.received(schema=SCHEMA)).tries == 1
    assert [call.mode for call in server.calls] == ["json_schema", "json_object", "text", "text"]


async def test_an_endpoint_that_ignores_a_schema_is_told_it_in_words_next_time(tmp_path: Path) -> None:
    with LLMServer("Sure! Let me think about that.", GOOD) as server:
        asker = Asker(server.url, tmp_path)
        await asker.received(schema=SCHEMA)
        await asker.received(schema=SCHEMA)
    assert [call.mode for call in server.calls] == ["json_schema", "json_schema"]
    assert [("minLength" in call.system) for call in server.calls] == [False, True]


@pytest.mark.parametrize(
    ("why", "roles"),
    [
        ("System role not supported", ["user"]),
        ("Unsupported value: 'messages[0].role' does not support 'system'. Use 'developer'.", ["developer", "user"]),
    ],
)
async def test_a_refused_system_message_comes_under_another_role(tmp_path: Path, why: str, roles: list[str]) -> None:
    with LLMServer("hi", refuses={"system": why}) as server:
        asker = Asker(server.url, tmp_path)
        await asker.received()
        assert (await asker.received()).tries == 1
    messages = server.calls[2].body["messages"]
    assert [m["role"] for m in messages] == roles
    assert "be brief" in messages[0]["content"] and "how?" in messages[-1]["content"]


async def test_the_words_of_other_frameworks_are_understood(tmp_path: Path) -> None:
    def strict(call: Call) -> Any:
        if "seed" in call.body:
            detail = [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]
            return Reply(status=422, error={"detail": detail})
        return "hi"

    with LLMServer(strict) as server:
        assert (await Asker(server.url, tmp_path).received(**FULL | {"schema": {}})).tries == 2
    assert {"temperature", "reasoning_effort"} <= set(server.calls[1].body)


async def test_a_request_that_stays_refused_fails_with_the_endpoints_words(tmp_path: Path) -> None:
    with LLMServer(Reply(status=400, error="the moon is full")) as server:
        failed = await Asker(server.url, tmp_path).failed(schema=SCHEMA)
    assert failed.failure == "request" and "the moon is full" in failed.reason and not failed.fatal
    assert failed.tries == 3, "once for each way to ask for a shape"


async def test_a_prompt_that_is_too_long_is_not_asked_again(tmp_path: Path) -> None:
    why = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    with LLMServer(Reply(status=400, error=why)) as server:
        failed = await Asker(server.url, tmp_path).failed(schema=SCHEMA)
    assert failed.failure == "request" and failed.tries == 1


async def test_settings_that_name_a_mode_win(tmp_path: Path) -> None:
    with LLMServer(GOOD) as server:
        received = await Asker(server.url, tmp_path, mode="json").received(schema=SCHEMA)
    assert received.mode == "json" and server.calls[0].mode == "json_object"

"""The completion plugin against an endpoint that behaves: what is sent, what is read, what it costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gome.events import CODEC, Message, Text
from gome.plugins.completion.openai.answer import Lines
from tests.llm_server import LLMServer, Reply
from tests.plugins.completion.asking import SCHEMA, Asker, request

pytestmark = pytest.mark.anyio


async def test_a_streamed_reply_comes_with_its_tokens_and_the_model_that_served_it(tmp_path: Path) -> None:
    reply = Reply("hello there", model="served-1", tokens_in=20, tokens_out=9, cached=12, reasoning_tokens=4)
    with LLMServer(reply) as server:
        asker = Asker(server.url, tmp_path)
        asked = request(attempt="a1")
        received = await asker.received(asked)
    assert server.calls[0].body["stream"] is True
    assert (str(received.text), received.model, received.finish, received.attempt) == (
        "hello there",
        "served-1",
        "stop",
        "a1",
    )
    assert received.request == CODEC.argument_digest(asked)
    assert not received.estimated and received.tries == 1
    cost = asker.cost
    assert (cost.tokens_in, cost.tokens_out, cost.tokens_cached, cost.tokens_reasoning) == (20, 9, 12, 4)
    assert cost.model == "served-1" and cost.seconds >= received.first_token_seconds > 0


async def test_without_streaming_the_same_is_read(tmp_path: Path) -> None:
    with LLMServer(Reply("hello", tokens_in=20, tokens_out=9, thoughts="hm")) as server:
        asker = Asker(server.url, tmp_path, streaming=False)
        received = await asker.received()
    assert "stream" not in server.calls[0].body and "stream_options" not in server.calls[0].body
    assert (str(received.text), asker.cost.tokens_in, asker.cost.tokens_out) == ("hello", 20, 9)


async def test_tokens_that_the_endpoint_does_not_count_are_estimated_and_marked(tmp_path: Path) -> None:
    with LLMServer(Reply("x" * 350, usage=False)) as server:
        asker = Asker(server.url, tmp_path)
        received = await asker.received(tokens_in=70)
    assert received.estimated
    assert (asker.cost.tokens_in, asker.cost.tokens_out) == (70, 101)


async def test_money_is_unknown_without_a_price_and_counted_with_one(tmp_path: Path) -> None:
    with LLMServer(
        Reply("hi", model="m-2026-01-01", tokens_in=1_000_000, tokens_out=100_000, cached=500_000)
    ) as server:
        asker = Asker(server.url, tmp_path)
        await asker.received(model="m")
        assert asker.cost.money is None
        asker.tables["completion"] = {"prices": {"m": {"input": 2.0, "output": 10.0, "cached": 0.5}}}
        await asker.received(model="m")
        assert asker.cost.money == pytest.approx(1.0 + 0.25 + 1.0)
        asker.tables["completion"]["prices"]["m-2026-01-01"] = {"input": 0.0, "output": 1.0}
        await asker.received(model="m")
        assert asker.cost.money == pytest.approx(0.1), "the price of the model that served it comes first"


async def test_what_is_not_set_is_not_sent(tmp_path: Path) -> None:
    with LLMServer("hi") as server:
        await Asker(server.url, tmp_path).received()
        await Asker(server.url, tmp_path).received(effort="high", temperature=0.5, seed=7, max_tokens=99)
    plain, full = (call.body for call in server.calls)
    assert not {"temperature", "seed", "reasoning_effort", "response_format"} & set(plain)
    assert (full["reasoning_effort"], full["temperature"], full["seed"], full["max_tokens"]) == ("high", 0.5, 7, 99)


async def test_a_conversation_is_sent_turn_by_turn(tmp_path: Path) -> None:
    turns = [("system", "s"), ("user", "u"), ("assistant", "a"), ("user", "again")]
    messages = tuple(Message(role, Text.of(text)) for role, text in turns)  # type: ignore[arg-type]
    with LLMServer("hi") as server:
        await Asker(server.url, tmp_path).received(messages=messages)
    assert [(m["role"], m["content"]) for m in server.calls[0].body["messages"]] == turns


async def test_a_schema_is_enforced_in_the_strict_subset_under_the_name_of_the_call(tmp_path: Path) -> None:
    with LLMServer({"name": "abc", "weight": 2}) as server:
        received = await Asker(server.url, tmp_path).received(schema=SCHEMA, name="hypo theses")
    assert received.mode == "schema" and json.loads(str(received.text)) == {"name": "abc", "weight": 2}
    call = server.calls[0]
    assert call.schema_name == "hypo_theses" and call.body["response_format"]["json_schema"]["strict"] is True
    assert call.schema == {
        "type": "object",
        "properties": {"name": {"type": "string"}, "weight": {"type": "number"}},
        "required": ["name", "weight"],
        "additionalProperties": False,
    }


async def test_a_shape_that_is_no_object_is_asked_for_in_words(tmp_path: Path) -> None:
    with LLMServer([1, 2]) as server:
        received = await Asker(server.url, tmp_path).received(schema={"type": "array", "items": {"type": "integer"}})
    assert received.mode == "text" and server.calls[0].mode == "text"
    assert '"items":{"type":"integer"}' in server.calls[0].system


async def test_thoughts_are_kept_out_of_the_reply(tmp_path: Path) -> None:
    with LLMServer(
        Reply("answer", thoughts="let me see"), "<think>first\nthis</think>\n\nanswer", "<think>never ends"
    ) as server:
        asker = Asker(server.url, tmp_path)
        assert str((await asker.received()).text) == "answer"
        assert str((await asker.received()).text) == "answer"
        assert str((await asker.received()).text) == ""


async def test_thoughts_that_the_chat_template_opened_are_kept_out_for_models_known_to_do_so(tmp_path: Path) -> None:
    with LLMServer("I think…</think>answer") as server:
        asker = Asker(server.url, tmp_path)
        assert str((await asker.received(model="org/DeepSeek-R1-Distill")).text) == "answer"
        assert str((await asker.received(model="other")).text) == "I think…</think>answer"


async def test_thoughts_count_as_tokens_where_nobody_counts(tmp_path: Path) -> None:
    with LLMServer(Reply("ab", thoughts="x" * 348, usage=False)) as server:
        asker = Asker(server.url, tmp_path)
        await asker.received()
    assert asker.cost.tokens_out == 101


async def test_a_cut_reply_says_so(tmp_path: Path) -> None:
    with LLMServer(Reply("half", finish="length")) as server:
        assert (await Asker(server.url, tmp_path).received()).finish == "length"


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_reply_larger_than_the_cap_is_cut(tmp_path: Path, streaming: bool) -> None:
    with LLMServer(Reply("y" * 5000, pieces=50)) as server:
        received = await Asker(server.url, tmp_path, largest=1000, streaming=streaming).received()
    assert received.finish == "length" and str(received.text) == "y" * 1000


async def test_an_endpoint_that_answers_a_stream_request_with_one_object_is_understood(tmp_path: Path) -> None:
    whole = {"model": "m", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
    with LLMServer(Reply(raw=json.dumps(whole).encode())) as server:
        assert str((await Asker(server.url, tmp_path).received()).text) == "hi"


async def test_azure_is_asked_at_its_own_path_with_version_and_key_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_THING", "azure-secret-1")
    with LLMServer("hi", azure=True, key="azure-secret-1") as server:
        base = f"{server.root}/openai/deployments/mine"
        asker = Asker(base, tmp_path, key_variable="AZURE_THING")
        assert str((await asker.received(model="mine")).text) == "hi"
        asker.tables["openai"]["api_version"] = "2030-01-01"
        await asker.received(model="mine")
    first, second = server.calls
    assert first.path == "/openai/deployments/mine/chat/completions" and "authorization" not in first.headers
    assert first.query == {"api-version": ["2024-10-21"]} and second.query == {"api-version": ["2030-01-01"]}


async def test_the_base_url_comes_from_the_environment_unless_it_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LLMServer("hi") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
        await Asker("", tmp_path).received()
    assert server.calls[0].path == "/v1/chat/completions"


async def test_more_headers_are_sent_and_secret_ones_come_from_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE", "open-sesame-9")
    with LLMServer("the word is open-sesame-9") as server:
        headers = {"X-Title": "gome", "X-Auth": "$GATE"}
        received = await Asker(server.url, tmp_path, headers=headers).received()
    assert (server.calls[0].headers["x-title"], server.calls[0].headers["x-auth"]) == ("gome", "open-sesame-9")
    assert str(received.text) == "the word is ***"


def test_only_line_feeds_end_a_line_of_a_stream() -> None:
    lines = Lines()
    text = 'data: {"a": "x\u2028y\x85z"}'.encode()
    assert list(lines.feed(b": ping\r\n\r\n" + text[:10])) == []
    assert list(lines.feed(text[10:] + b"\r\n\r\ndata:[DONE]\n")) == [text[6:], b"[DONE]"]

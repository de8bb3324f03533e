"""An endpoint in trouble: what is waited out, what is given up, and that nothing of it shows a secret or raises."""

from __future__ import annotations

import email.utils
import json
import socket
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from gome.events import CompletionFailed, CompletionReceived
from gome.kernel.diagnostics import redact
from gome.plugins.completion.openai import calling
from gome.plugins.completion.openai.wire import wait_of
from tests.llm_server import LLMServer, Reply
from tests.plugins.completion.asking import SCHEMA, Asker

pytestmark = pytest.mark.anyio
KEY = "sk-very-secret-key-123"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the plugin would have waited between tries."""
    seen: list[float] = []

    async def at_once(seconds: float) -> None:
        seen.append(seconds)

    monkeypatch.setattr(calling, "sleep", at_once)
    return seen


async def test_too_many_requests_are_waited_out_as_long_as_the_endpoint_asks(
    tmp_path: Path, waits: list[float]
) -> None:
    with LLMServer(Reply(status=429, headers={"Retry-After": "7"}), Reply(status=429), "hi") as server:
        received = await Asker(server.url, tmp_path, backoff=1.0, total=100.0).received()
    assert received.tries == 3
    assert 7 <= waits[0] <= 7.5, "as asked, and a little more so that not all come back at once"
    assert 1 <= waits[1] <= 2, "twice the first wait, shortened at random"


def test_the_wait_may_be_given_as_a_date_or_in_milliseconds() -> None:
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 28 <= (wait_of({"retry-after": date}) or 0) <= 31
    assert wait_of({"retry-after": email.utils.formatdate(0)}) == 0
    assert wait_of({"retry-after-ms": "1500", "retry-after": "2"}) == 1.5
    assert wait_of({"retry-after": "soon"}) is None and wait_of({}) is None


async def test_a_wait_that_is_longer_than_the_call_may_take_is_not_begun(tmp_path: Path, waits: list[float]) -> None:
    with LLMServer(Reply(status=429, headers={"Retry-After": "3600"})) as server:
        failed = await Asker(server.url, tmp_path).failed()
    assert failed.failure == "rate" and "3600 s" in failed.reason and not failed.fatal and not waits


async def test_an_account_with_nothing_left_is_not_asked_again(tmp_path: Path) -> None:
    error = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    with LLMServer(Reply(status=429, error=error)) as server:
        failed = await Asker(server.url, tmp_path).failed()
    assert failed.failure == "rate" and failed.fatal and failed.tries == 1


@pytest.mark.parametrize("status", [500, 502, 503, 529, 408])
async def test_an_endpoint_in_trouble_is_asked_again(tmp_path: Path, status: int) -> None:
    with LLMServer(Reply(status=status), "hi") as server:
        assert (await Asker(server.url, tmp_path).received()).tries == 2


async def test_trouble_that_does_not_end_is_a_failure_after_all_tries(tmp_path: Path, waits: list[float]) -> None:
    with LLMServer(Reply(status=500, error="out of memory")) as server:
        failed = await Asker(server.url, tmp_path, tries=3, backoff=1.0).failed(attempt="a2")
    assert (failed.failure, failed.tries, failed.attempt, failed.fatal) == ("server", 3, "a2", False)
    assert "out of memory" in failed.reason and len(waits) == 2


@pytest.mark.parametrize("stall", ["headers", "first"])
async def test_silence_before_the_first_token_ends_the_try(tmp_path: Path, stall: Any) -> None:
    with LLMServer(Reply("never", stall=stall), "hi") as server:
        received = await Asker(server.url, tmp_path, first_token=1.0).received()
        assert await anyio.to_thread.run_sync(server.calls[0].gone.wait, 10), "the connection was not closed"
    assert received.tries == 2 and str(received.text) == "hi"


async def test_silence_in_the_middle_ends_the_try_and_what_had_come_is_paid_for(tmp_path: Path) -> None:
    with LLMServer(Reply("z" * 700, stall="middle"), Reply("hi", tokens_in=10, tokens_out=5)) as server:
        asker = Asker(server.url, tmp_path, between_tokens=1.0)
        received = await asker.received(tokens_in=30)
        assert await anyio.to_thread.run_sync(server.calls[0].gone.wait, 10), "the connection was not closed"
    assert received.tries == 2 and str(received.text) == "hi" and received.estimated
    assert (asker.cost.tokens_in, asker.cost.tokens_out) == (30 + 10, 101 + 5)


async def test_a_call_that_takes_too_long_altogether_fails(tmp_path: Path) -> None:
    with LLMServer(Reply("z" * 700, stall="middle")) as server:
        asker = Asker(server.url, tmp_path, total=1.5)
        failed = await asker.failed(tokens_in=30)
        assert await anyio.to_thread.run_sync(server.calls[0].gone.wait, 10), "the connection was not closed"
    assert failed.failure == "timeout" and "1.5 s" in failed.reason
    assert (asker.cost.tokens_in, asker.cost.tokens_out, asker.cost.money) == (30, 101, None)


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_connection_that_drops_in_the_middle_is_tried_again(tmp_path: Path, streaming: bool) -> None:
    with LLMServer(Reply("half of it", cut=True), "whole") as server:
        received = await Asker(server.url, tmp_path, streaming=streaming).received()
    assert received.tries == 2 and str(received.text) == "whole"


async def test_a_stream_that_keeps_breaking_is_read_whole_instead(tmp_path: Path) -> None:
    with LLMServer(lambda c: Reply("half", cut=True) if c.body.get("stream") else "whole") as server:
        asker = Asker(server.url, tmp_path)
        assert (await asker.received()).tries == 3
        assert (await asker.received()).tries == 1, "that it works is remembered"


async def test_something_that_is_no_json_is_tried_again_and_shown(tmp_path: Path) -> None:
    with LLMServer(Reply(raw=b"<html>gateway</html>")) as server:
        failed = await Asker(server.url, tmp_path, tries=3).failed()
    assert failed.failure == "protocol" and "<html>" in failed.reason and failed.tries == 3


async def test_an_error_inside_a_success_is_an_error(tmp_path: Path) -> None:
    body = json.dumps({"error": {"message": "provider is overloaded", "code": 502}}).encode()
    with LLMServer(Reply(raw=body), "hi") as server:
        assert (await Asker(server.url, tmp_path).received()).tries == 2


async def test_a_stream_that_ends_with_an_error_is_tried_again(tmp_path: Path) -> None:
    limited = json.dumps({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}).encode()
    with LLMServer(Reply("half", finish="error"), Reply(raw=limited)) as server:
        failed = await Asker(server.url, tmp_path, tries=2).failed()
    assert failed.failure == "rate" and failed.tries == 2


async def test_a_key_that_cannot_be_sent_is_said_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_CREDENTIAL", "“sk-quoted-by-a-word-processor”")
    with LLMServer("hi") as server:
        failed = await Asker(server.url, tmp_path, key_variable="MY_CREDENTIAL").failed()
    assert failed.failure == "auth" and "MY_CREDENTIAL" in failed.reason and "sk-quoted" not in failed.reason
    assert not server.calls


async def test_a_flood_of_bytes_is_not_read_to_its_end(tmp_path: Path) -> None:
    with LLMServer(Reply(raw=b'{"a":"' + b"x" * 200_000 + b'"}')) as server:
        failed = await Asker(server.url, tmp_path, largest=1000, tries=1).failed()
    assert failed.failure == "protocol" and "16000 bytes" in failed.reason


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_is_refused_is_fatal_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("MY_CREDENTIAL", KEY)  # a name that does not look like one of a secret
    error = {"error": {"message": f'Incorrect key provided: "{KEY}". See {KEY[:9]}…'}}
    with LLMServer(Reply(status=status, error=error)) as server:
        failed = await Asker(server.url, tmp_path, key_variable="MY_CREDENTIAL").failed()
    assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"
    assert failed.failure == "auth" and failed.fatal and failed.tries == 1
    assert KEY not in str(failed) and "MY_CREDENTIAL" in failed.reason
    assert redact(f"x{KEY}y") == "x***y"


async def test_a_missing_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with LLMServer("hi", key="right-key") as server:
        failed = await Asker(server.url, tmp_path, key_variable="OPENAI_API_KEY").failed()
    assert failed.failure == "auth" and "OPENAI_API_KEY is not set" in failed.reason
    assert "authorization" not in server.calls[0].headers


async def test_a_key_in_the_reply_is_taken_out_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_CREDENTIAL", KEY)
    with LLMServer(Reply(f"your key is {KEY}", model=f"m/{KEY}")) as server:
        received = await Asker(server.url, tmp_path, key_variable="MY_CREDENTIAL").received()
    assert str(received.text) == "your key is ***" and received.model == "m/***"


async def test_a_model_that_is_not_there_is_fatal(tmp_path: Path) -> None:
    with LLMServer("hi", models=["other"]) as server:
        failed = await Asker(server.url, tmp_path).failed(schema=SCHEMA)
    assert failed.failure == "model" and failed.fatal and failed.tries == 1 and "some-model" in failed.reason


async def test_an_endpoint_that_is_gone_is_fatal_after_all_tries(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        asker = Asker(f"http://127.0.0.1:{port}/v1", tmp_path, tries=3)
        failed = await asker.failed()
    assert failed.failure == "unreachable" and failed.fatal and failed.tries == 3 and str(port) in failed.reason
    assert asker.cost.money == 0.0 and asker.cost.tokens_in == 0, "nobody has been paid"


@pytest.mark.parametrize(
    "reply",
    [
        Reply("I", finish="content_filter"),
        Reply(refusal="I will not do that"),
        Reply(status=400, error={"error": {"code": "content_filter", "message": "ResponsibleAI policy"}}),
    ],
    ids=["filtered", "refusal", "filter of the prompt"],
)
@pytest.mark.parametrize("streaming", [True, False])
async def test_refused_content_is_a_failure_that_concerns_this_call_only(
    tmp_path: Path, reply: Reply, streaming: bool
) -> None:
    with LLMServer(reply) as server:
        failed = await Asker(server.url, tmp_path, streaming=streaming).failed(schema=SCHEMA)
    assert failed.failure == "refused" and not failed.fatal and failed.tries == 1


async def test_redirects_are_not_followed(tmp_path: Path) -> None:
    with LLMServer(Reply(status=302, headers={"Location": "http://127.0.0.1:1/v1"})) as server:
        failed = await Asker(server.url, tmp_path).failed()
    assert failed.failure == "request" and failed.fatal and "redirects" in failed.reason


async def test_a_call_that_is_called_off_closes_its_connection(tmp_path: Path) -> None:
    with LLMServer(Reply("long", stall="middle")) as server:
        async with anyio.create_task_group() as group:
            group.start_soon(Asker(server.url, tmp_path).ask)
            await anyio.to_thread.run_sync(server.wait_for, 1)
            group.cancel_scope.cancel()
        assert await anyio.to_thread.run_sync(server.calls[0].gone.wait, 10)


async def test_calls_at_once_stay_within_the_limit_and_halve_when_there_are_too_many(tmp_path: Path) -> None:
    with LLMServer(Reply(status=429), "hi") as server:
        asker = Asker(server.url, tmp_path, concurrency=4)
        answers: list[CompletionReceived | CompletionFailed] = []

        async def one() -> None:
            answers.append(await asker.ask())

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(one)
    assert all(isinstance(a, CompletionReceived) for a in answers) and len(server.calls) == 11

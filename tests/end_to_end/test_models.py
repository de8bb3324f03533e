"""A run whose reasoner asks a language model, from the command line: a real endpoint, a real process, real accounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gome.kernel import run
from gome.kernel.errors import UsageError
from tests import distribution
from tests.end_to_end.conftest import Terminal
from tests.llm_server import Call, LLMServer, Reply

RUN = ("run", "houses.csv", "--target", "price", "--steps", "2", "--traces", "1", "--run", "asked")
KEY = "sk-nobody-may-see-this-1"
REASONER = """
from msgspec import Struct
from gome.events import Hypothesis
from gome.kernel.completing import CompletionUnavailable
from gome.kernel.reasoning import Feedback

class Rate(Struct):
    rate: float

class Asker:
    needs = ("completion",)

    async def propose(self, context):
        try:
            answer = await context.complete("rate", system="Boost.", user="Which rate?", reply=Rate)
        except CompletionUnavailable as error:
            print(error)
            return None
        member = {"model": {"family": "booster", "learning_rate": answer.rate}}
        change = {"pipeline": {"members": [member]}}
        return Hypothesis(statement=f"boost with learning rate {answer.rate}", component="model", change=change)

    async def reflect(self, context):
        return Feedback(accept=True, lesson=await context.complete("lesson", system="Boost.", user="What was learnt?"))
"""


@pytest.fixture
def asker(terminal: Terminal, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal with a stranger's reasoner that asks a model."""
    site = tmp_path_factory.mktemp("site")
    distribution.install(site, "asking", {"gome.reasoners": {"asker": "asking_reasoner:Asker"}})
    (site / "asking_reasoner.py").write_text(REASONER)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return terminal


def holding(folder: Path, text: str) -> list[Path]:
    """Files below a folder that hold a text."""
    return [p for p in folder.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]


def test_a_run_that_asks_a_model_shows_what_it_took_and_verifies_without_it(asker: Terminal) -> None:
    with LLMServer(Reply("rates matter", tokens_in=100, tokens_out=10), key=KEY) as server:
        server.on("Which rate?", Reply('{"rate": 0.1}', tokens_in=1000, tokens_out=20), {"rate": 0.05})
        done = asker.gome(*RUN, "--reasoner", "asker", "--model", "some-model", "--base-url", server.url)
    assert done.returncode == 0, done.stderr
    assert all(call.model == "some-model" for call in server.calls)
    summary, *rows = asker.lines("show", "asked")
    assert {"role": "completion", "name": "openai"}.items() <= next(
        p for p in summary["plugins"] if p["role"] == "completion"
    ).items()
    found = summary["summary"]
    assert found["calls"] == len(server.calls) and found["tokens_in"] == 1000 + 10 + 100 * (len(server.calls) - 2)
    assert found["money"] is None and found["models"] == ["some-model"]
    assert "boost with learning rate 0.1" in {row["change"] for row in rows}
    for text in (done.stdout, asker.gome("show", "asked").stdout, Path(found_report(asker)).read_text()):
        assert f"{len(server.calls)} calls to some-model" in text and "cost unknown" in text
    assert "tokens, cost unknown" in asker.gome("show", "asked", "--attempt", "a1").stdout
    assert asker.gome("verify", "asked").returncode == 0
    assert not holding(asker.folder, KEY)


def found_report(terminal: Terminal) -> Path:
    (report,) = terminal.folder.glob("gome-*/REPORT.md")
    return report


def test_a_key_that_the_endpoint_echoes_is_nowhere_to_be_found(asker: Terminal) -> None:
    def echo(call: Call) -> Reply:
        return Reply(status=401, error=f"wrong key {call.headers['authorization']}")

    with LLMServer(echo) as server:
        done = asker.gome(*RUN, "--reasoner", "asker", "--model", "m", "--base-url", server.url)
    assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"
    assert "wrong key Bearer ***" in done.stdout + done.stderr
    assert KEY not in done.stdout + done.stderr and not holding(asker.folder, KEY)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--reasoner", "asker"), "reasoner asker asks a language model, and none is set"),
        (("--reasoner", "asker", "--model", "m", "--max-cost", "1"), "set completion.prices"),
        (("--reasoner", "asker", "--model", "m", "--base-url", "localhost:1"), "openai.base_url"),
        (("--model", "m"), "no plugin of this run asks a language model"),
    ],
    ids=["no model", "no price", "no URL", "nobody asks"],
)
def test_what_is_missing_is_said_before_anything_starts(asker: Terminal, more: tuple[str, ...], said: str) -> None:
    done = asker.gome(*RUN, *more)
    assert done.returncode == 2 and said in done.stderr and "preparing" not in done.stderr


def test_python_takes_the_same_flags(asker: Terminal) -> None:
    with pytest.raises(UsageError, match="no plugin of this run asks a language model"):
        run(str(asker.folder / "houses.csv"), target="price", model="m", base_url="http://localhost:1", memory=True)


def test_a_dry_run_shows_who_asks_which_model_where(asker: Terminal) -> None:
    (plan,) = asker.lines(
        *RUN, "--dry-run", "--reasoner", "asker", "--model", "m", "--base-url", "http://localhost:1/v1"
    )
    assert plan["plugins"]["completion"] == "openai"
    assert plan["settings"]["completion"]["model"] == "m"
    assert plan["settings"]["openai"]["base_url"] == "http://localhost:1/v1"

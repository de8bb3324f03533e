"""Every recorded run still decodes, verifies, and finds every plugin pure, whatever the hash seed."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gome.events import Draw, Event, Payload, StepPlanned
from gome.kernel.calls import Calls
from gome.kernel.discovery import codec_for
from gome.kernel.plugin import Plugin
from gome.kernel.replay import Verdict, Verifier
from gome.kernel.testing import conform
from tests.recorded.corpus import Corpus, load, names
from tests.scripted_model import CALLS

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


def verify(corpus: Corpus, plugins: list[Plugin]) -> Verdict:
    codec = codec_for(plugins)
    verifier = Verifier(corpus.run, codec, plugins, corpus.texts.__getitem__)
    for sealed in corpus.records:
        if not verifier.take(sealed):
            break
    return verifier.verdict()


def test_there_is_a_corpus() -> None:
    assert names()


@pytest.mark.parametrize("name", names())
async def test_a_recorded_run_verifies_with_todays_code(name: str) -> None:
    corpus = await load(name)
    verdict = verify(corpus, list(corpus.plugins))
    assert verdict.ok, [d.sentence(corpus.run) for d in verdict.divergences]
    assert verdict.finished and verdict.decisions > 20


async def test_the_scripted_run_makes_every_call_of_the_method_and_says_what_it_is() -> None:
    corpus = await load("scripted-0.2.0")
    calls = Calls()
    codec = codec_for(corpus.plugins)
    for sealed in corpus.records:
        for event in codec.commit(sealed, corpus.texts.__getitem__).events:
            calls.apply(event)
    rows = {row.name: row for row in calls.rows()}
    assert set(rows) == set(CALLS) and all(row.answered == row.asked for row in rows.values())
    assert {model for row in rows.values() for model in row.models} == {"scripted-1"}
    assert "not a model's work" in (ROOT / "tests/recorded/scripted-0.2.0/ABOUT.md").read_text()


@pytest.mark.parametrize("name", names())
async def test_every_plugin_is_pure_on_the_recorded_run(name: str) -> None:
    corpus = await load(name)
    assert sum(conform(plugin, corpus.records) for plugin in corpus.plugins) > 20


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_the_recorded_runs_verify_under_any_hash_seed(seed: str) -> None:
    script = (
        "import anyio\n"
        "from tests.recorded.corpus import load, names\n"
        "from tests.recorded.test_corpora import verify\n"
        "for name in names():\n"
        "    corpus = anyio.run(load, name)\n"
        "    assert verify(corpus, list(corpus.plugins)).ok, name\n"
    )
    env = {**os.environ, "PYTHONHASHSEED": seed}
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=env, check=True, timeout=120)


def _altered(plugin: Plugin, change: dict[type[Payload], dict[str, object]]) -> Plugin:
    def decide(state: object, event: Event, draw: Draw) -> list[Payload]:
        said = plugin.decide(state, event, draw)
        return [msgspec.structs.replace(p, **change.get(type(p), {})) for p in said]

    return dataclasses.replace(plugin, decide=decide)


@pytest.mark.parametrize("name", names())
async def test_one_changed_character_in_one_decision_is_caught_and_named(name: str) -> None:
    corpus = await load(name)
    plugins = [_altered(p, {StepPlanned: {"kind": "merge"}}) if p.role == "search" else p for p in corpus.plugins]
    (found,) = verify(corpus, plugins).divergences
    assert found.path == "0.payload.kind" and found.computed == "merge"

"""Deciders that were changed on purpose are caught by verifying the recorded runs: no other test says that verify sees.

Each mutant flips a comparison, swaps + and -, `and` and `or` or the first two of a list, raises a number, changes a
character of a text or leaves a `not` out, at one place that the recorded runs go through. `mutants.Inputs` says whether
it answers anything else there than the original; if it does, verify has to diverge. A mutant that answers the same on
all recorded inputs cannot be caught by them: `EQUIVALENT` lists those of the search, with the reason; of all modules at
least the share `CAUGHT` must be told from the original, so that corpora that say too little are noticed. A prompt is
made by a performer, not by a decider: there what is asked of a model with a changed template must not be what was
recorded, so that no recorded reply is found for it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
import pytest

from gome.events import CodeRequested, Draw, Intent, Payload, ReviewRequested
from gome.kernel.discovery import codec_for
from gome.kernel.errors import ChildEffectFailed
from gome.kernel.plugin import Context, Plugin
from gome.kernel.replay import Verifier
from gome.kernel.state import OpenIntent, RunState
from gome.plugins.mutator.llm import prompting
from gome.plugins.mutator.llm.perform import perform
from tests.recorded.corpus import HERE, Corpus, load, names
from tests.recorded.mutants import Hung, Inputs, Mutant, limited, mutants

MODULES = {
    "search": "gome.plugins.search.gradient.decide",
    "judge": "gome.plugins.judge.guard.decide",
    "selection": "gome.plugins.selection.reruns.decide",
    "runner": "gome.plugins.runner.sandbox.decide",
    "mutator": "gome.plugins.mutator.llm.decide",
}
CAUGHT = {"search": 0.85, "judge": 0.7, "selection": 0.6, "runner": 0.7, "mutator": 0.5}
"""Share of the mutants on lines that the recorded runs go through that must say anything else than the original."""
EQUIVALENT = {
    "order swapped": "of parents that are sorted afterwards, or of traces whose scores differ",
    "'; ' changed": "the scheduler of the recorded runs gives no reason of its own that would be joined",
    "And swapped": "a merge needs others: the recorded runs have them whenever the ensemble stage has begun",
    "0 raised": "the recorded runs end with no step left, never with fewer than none",
}
"""Mutants of the search that no recorded input tells from the original, by what they change."""


@cache
def corpora() -> list[Corpus]:
    return [anyio.run(load, name) for name in names()]


@cache
def inputs(role: str) -> list[Inputs]:
    """The recorded runs in which the module's plugin plays its role."""
    package = MODULES[role].rpartition(".")[0]
    found = [(c, p) for c in corpora() for p in c.plugins if p.role == role]
    return [Inputs(c, p) for c, p in found if p.decide.__module__.startswith(package)]


def verifies(corpus: Corpus, changed: Plugin) -> bool:
    """Whether a recorded run verifies with one plugin changed."""
    plugins = [changed if p.name == changed.name else p for p in corpus.plugins]
    verifier = Verifier(corpus.run, codec_for(plugins), plugins, corpus.texts.__getitem__)
    try:
        with limited():
            return all(verifier.take(sealed) for sealed in corpus.records) and verifier.verdict().ok
    except Hung:
        return False


def examine(role: str, every: int) -> tuple[int, list[str]]:
    """Check every n-th mutant; returns how many were checked, and the names of those that say the same."""
    module = MODULES[role]
    lines = set().union(*(found.lines(module) for found in inputs(role)))
    checked, same = 0, []
    for number, mutant in enumerate(mutants(module, lines)):
        if number % every == 0:
            checked += 1
            if not caught(role, mutant):
                same.append(mutant.name)
    return checked, same


def caught(role: str, mutant: Mutant) -> bool:
    """Whether a mutant says anything else; asserts that verify finds it if it does."""
    other = False
    for found in inputs(role):
        plugin = mutant.plugin(found.original)
        if found.changed(plugin):
            other = True
            assert not verifies(found.corpus, plugin), f"{mutant.module}:{mutant.name} verifies {found.corpus.name}"
    return other


@pytest.mark.parametrize("role", MODULES)
def test_a_changed_decider_is_caught_by_verifying_the_recorded_runs(role: str) -> None:
    checked, same = examine(role, every=4)
    assert checked >= 10 and len(same) < checked


@pytest.mark.slow
@pytest.mark.parametrize("role", MODULES)
def test_every_changed_decider_is_caught_by_verifying_the_recorded_runs(role: str) -> None:
    checked, same = examine(role, every=1)
    print(f"{role}: {checked} mutants, {checked - len(same)} say otherwise and are caught, {len(same)} say the same")
    assert 1 - len(same) / checked >= CAUGHT[role], same


@pytest.mark.slow
def test_mutants_of_the_search_that_say_the_same_are_known() -> None:
    _, same = examine("search", every=1)
    assert {name.partition(" ")[2] for name in same} <= set(EQUIVALENT)


@pytest.mark.parametrize("role", MODULES)
def test_the_originals_say_what_is_recorded(role: str) -> None:
    for found in inputs(role):
        assert not found.changed(found.original) and verifies(found.corpus, found.original)


RECORDED = HERE / "scripted-0.2.0" / "prompts"


# -- prompts --------------------------------------------------------------------------------------------------------


@cache
def _asked() -> tuple[RunState, list[OpenIntent], dict[str, dict[str, Payload]]]:
    """The recorded run with a model: its state, the mutator's intents, and for each the replies by argument digest."""
    (corpus,) = [c for c in corpora() if c.name.startswith("scripted")]
    codec = codec_for(corpus.plugins)
    state = RunState(corpus.run, codec, (), corpus.texts.__getitem__)
    intents: dict[str, OpenIntent] = {}
    digests: dict[str, tuple[str, str]] = {}
    replies: dict[str, dict[str, Payload]] = {}
    for sealed in corpus.records:
        commit, _ = state.apply(sealed)
        for event in commit.events:
            if isinstance(event.payload, CodeRequested | ReviewRequested):
                intents[event.id] = state.open[event.id]
            elif isinstance(event.payload, Intent) and event.cause in intents:
                digests[event.id] = event.cause, codec.argument_digest_of(event.type, event.tv, event.raw)
            elif event.cause in digests:
                parent, digest = digests[event.cause]
                replies.setdefault(parent, {})[digest] = event.payload  # type: ignore[assignment]
    return state, list(intents.values()), replies


async def _ask_again() -> list[tuple[str, str]]:
    """Perform the mutator's intents again with recorded replies: the text and the argument digest of all that is asked,
    up to the first thing of each intent for which no reply is recorded (then its digest is "")."""
    state, intents, replies = _asked()
    asked: list[tuple[str, str]] = []
    for found in intents:

        async def call(intent: Intent, known: dict[str, Payload] = replies[found.event.id]) -> Payload:
            digest = state.codec.argument_digest(intent)
            asked.append((msgspec.json.encode(intent).decode(), digest if digest in known else ""))
            if digest not in known:
                raise ChildEffectFailed("no reply is recorded")
            return known[digest]

        await perform(found.event, _context(state, found, call))
    return asked


def _context(state: RunState, found: OpenIntent, call: Any) -> Context:
    assert state.started is not None
    unused: Any = SimpleNamespace()
    return Context(
        run=state.run,
        intent=found.event,
        attempt=1,
        started=state.started,
        trajectory=found.view,
        settings=state.started.settings.get("llm", {}),
        artifacts=unused,
        workdir=Path(),
        home=Path(),
        draw=Draw(0, found.event.id),
        call=call,
        cancelled=lambda: False,
        log=unused,
    )


@pytest.fixture
def prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The templates of prompts as they were when the run was recorded, in a folder where they may be changed. Those of
    today may say something else: a prompt is free to change, and its digest tells."""
    folder = tmp_path / "prompts"
    shutil.copytree(RECORDED, folder)
    monkeypatch.setattr(prompting, "PROMPTS", folder)
    prompting._templates.cache_clear()
    yield folder
    prompting._templates.cache_clear()


def _letters(text: str, count: int) -> list[int]:
    """Places of some letters of a template that are text of the prompt, spread over it."""
    spoken = re.sub(r"\{([{%#]).*?[}%#]\}", lambda m: " " * len(m[0]), text, flags=re.DOTALL)
    letters = [m.start() for m in re.finditer(r"[a-z]", spoken)]
    return letters[:: max(1, len(letters) // count)][:count]


def test_prompts_as_they_were_find_every_recorded_reply(prompts: Path) -> None:
    asked = anyio.run(_ask_again)
    assert len(asked) >= 5 and all(digest for _, digest in asked)


@pytest.mark.parametrize("template", sorted(p.stem for p in RECORDED.glob("*.j2")))
def test_one_changed_character_of_a_prompt_finds_no_recorded_reply(template: str, prompts: Path) -> None:
    before = anyio.run(_ask_again)
    path = prompts / f"{template}.j2"
    text = path.read_text()
    changed = 0
    for place in _letters(text, 4):
        path.write_text(text[:place] + text[place].upper() + text[place + 1 :])
        prompting._templates.cache_clear()
        after = anyio.run(_ask_again)
        if after != before:
            changed += 1
            assert not all(digest for _, digest in after), f"{template}.j2 differs at {place}, and replies are found"
    assert changed, f"no recorded prompt shows {template}.j2"

"""A stranger's package, installed by pip: its plugins are found, listed, loaded and used through real entry points."""

from __future__ import annotations

import importlib
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from gome.events import AttemptAccepted, Draw, Event, NoteAdded, apply_change
from gome.kernel.discovery import choose, discover, pin
from gome.kernel.errors import PluginError


def gome(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "gome.kernel.cli", *arguments], capture_output=True, text=True)


def test_plugins_of_a_stranger_are_listed_beside_the_built_in_ones(examples: Path) -> None:
    rows = {(r["role"], r["name"]): r for r in map(json.loads, gome("plugins", "--json").stdout.splitlines())}
    hunch, cheer = rows["reasoner", "hunch"], rows["plugin", "cheer"]
    assert (hunch["source"], hunch["version"], hunch["error"]) == ("gome-example-plugins", "0.3.0", "")
    assert hunch["performs"] == ["ProposalRequested", "ReflectionRequested"] and not hunch["default"]
    assert cheer["reads"] == ["AttemptAccepted"]
    assert rows["reasoner", "playbook"]["default"]


def test_one_plugin_is_shown_with_what_it_reads(examples: Path) -> None:
    said = gome("plugins", "cheer").stdout
    assert "AttemptAccepted" in said and "gome_example_plugins.cheer:plugin" in said
    assert gome("plugins", "nobody").returncode == 2


def test_without_the_package_nothing_of_it_is_left() -> None:
    assert "hunch" not in gome("plugins").stdout


def test_a_stranger_is_chosen_by_name_and_never_by_default(examples: Path) -> None:
    found = discover()
    assert next(p for p in choose(found, {}) if p.role == "reasoner").name == "playbook"
    chosen = choose(found, {"reasoner": "hunch"})
    assert next(p for p in chosen if p.role == "reasoner").name == "hunch"
    assert "cheer" in [p.name for p in chosen]
    with pytest.raises(PluginError, match="there is no reasoner called hench"):
        choose(found, {"reasoner": "hench"})


def test_a_named_plugin_brings_those_it_works_with_unless_others_are_named() -> None:
    found = discover()

    def mutator(**named: str) -> str:
        return next(p.name for p in choose(found, named) if p.role == "mutator")

    assert mutator() == "pipeline" and mutator(reasoner="gome") == "llm"
    assert mutator(reasoner="gome", mutator="pipeline") == "pipeline"


def test_the_pin_of_a_stranger_covers_its_source(examples: Path) -> None:
    hunch = next(f.plugin for f in discover() if f.name == "hunch")
    assert hunch is not None and hunch.modules == ("gome_example_plugins.hunch",)
    assert len(pin(hunch).digest) == 64


def test_plugins_can_be_limited_to_some(examples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOME_LOAD_PLUGINS", "cheer, hunch")
    assert sorted(f.name for f in discover()) == ["cheer", "hunch"]


def test_the_observers_note_is_a_pure_function_of_what_it_heard(examples: Path) -> None:

    cheer = importlib.import_module("gome_example_plugins.cheer").plugin
    event = Event("e", "AttemptAccepted", 1, 0.0, AttemptAccepted("a1", gain=0.25))
    first, second = (cheer.decide(None, event, Draw(7, "e")) for _ in range(2))
    assert first == second and isinstance(first[0], NoteAdded) and "a1 gained 0.25" in first[0].text


def test_the_reasoners_hypotheses_are_in_the_mutators_vocabulary(examples: Path) -> None:

    class Context:
        """As much of a ReasonContext as this reasoner looks at."""

        class attempt:
            number = 1

    hunch = importlib.import_module("gome_example_plugins.hunch").Hunch()
    rates = set()
    while (hypothesis := hunch.propose(Context)) is not None:
        (member,) = apply_change({}, hypothesis.change).members
        rates.add(member.model.learning_rate)
        Context.attempt.number += 1
    assert len(rates) == 9


def test_a_run_with_a_strangers_reasoner_and_observer_ends_and_verifies(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw = random.Random(3)
    lines = (
        f"{x:.3f},{draw.choice('ab')},{100 + 7 * x + draw.gauss(0, 1):.2f}" for x in (draw.random() for _ in range(120))
    )
    (tmp_path / "train.csv").write_text("x,kind,y\n" + "\n".join(lines) + "\n")
    # As few executions beside those of the steps as can be.
    (tmp_path / "gome.toml").write_text("[guard]\nseeds = 1\n\n[reruns]\ncandidates = 1\nrepeats = 1\naudit = false\n")
    flags = ["--target", "y", "--reasoner", "hunch", "--steps", "2", "--traces", "1", "--run", "theirs", "--json"]
    done = gome("run", "train.csv", *flags)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in gome("tail", "theirs", "--json").stdout.splitlines()]
    said = [(e["by"], e["type"], e["payload"]) for e in told]
    statements = [p["hypothesis"]["statement"] for by, kind, p in said if kind == "HypothesisProposed"]
    assert statements == ["boost with learning rate 0.14", "boost with learning rate 0.098"]
    accepted = [p["attempt"] for _, kind, p in said if kind == "AttemptAccepted"]
    notes = [p["text"] for by, kind, p in said if kind == "NoteAdded" and by == "cheer"]
    assert len(notes) == len(accepted) >= 1 and accepted[0] in notes[0]
    verified = gome("verify", "theirs")
    assert verified.returncode == 0, verified.stderr

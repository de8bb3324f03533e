"""Declared faults in rendered programs: visible, of their member only, and nothing where none is declared."""

from __future__ import annotations

import ast
from typing import Any

import pandas as pd
import pytest

from gome.events import CodeWritten, Draw, Event, Hypothesis, HypothesisProposed, RunStarted, StepPlanned
from gome.events.pipeline import member_key, read_pipeline
from gome.plugins.mutator.pipeline import plugin
from gome.plugins.mutator.pipeline.faults import RENDERER_OF_FAULTS, faulty, with_faults
from gome.plugins.mutator.pipeline.render import RENDERER, render


def spec(**faults: str) -> dict[str, Any]:
    """A ridge and a small forest, with faults by family."""
    models: dict[str, Any] = {"ridge": {}, "trees": {"trees": 10}}
    return {
        "members": [
            {"model": {"family": f, **m}, **({"fault": faults[f]} if f in faults else {})} for f, m in models.items()
        ]
    }


def program(world: Any, **faults: str) -> str:
    pipeline = read_pipeline(spec(**faults))
    return with_faults(render(pipeline, world.task), pipeline)


def test_a_program_without_faults_is_what_it_was(make_world: Any) -> None:
    world = make_world("regression", "rmse")
    pipeline = read_pipeline(spec())
    assert not faulty(pipeline)
    text = render(pipeline, world.task)
    assert "Declared" not in text and "noisy" not in text and "crashing" not in text
    assert member_key(pipeline.members[0]) == "060fe2362189f069", "keys survive"


@pytest.mark.parametrize(("fault", "name"), [("crash", "crashing"), ("noise", "noisy")])
def test_a_fault_stands_in_the_program_for_whoever_reads_it(fault: str, name: str, make_world: Any) -> None:
    world = make_world("binary", "roc_auc")
    sound, broken = program(world), program(world, ridge=fault)
    assert f"model=({name}(fit_logistic), " in broken or f"model=({name}(fit_ridge), " in broken
    assert "Declared faults" in broken and broken.count(f"{name}(") == 2 and "model=(fit_trees," in broken
    ast.parse(broken)
    gone = [line for line in sound.splitlines() if line not in broken.splitlines()]
    assert len(gone) <= 4, "the member's key and fit, and the key of the pipeline"


def test_a_faulty_member_has_a_key_of_its_own() -> None:
    keys = {member_key(read_pipeline(spec(**f)).members[0]) for f in ({}, {"ridge": "crash"}, {"ridge": "noise"})}
    assert len(keys) == 3


@pytest.mark.parametrize(("kind", "metric"), [("regression", "rmse"), ("multiclass", "log_loss")])
def test_a_silent_fault_runs_and_does_harm_to_its_member_alone(kind: str, metric: str, make_world: Any) -> None:
    world = make_world(kind, metric)
    scores = {}
    for name, text in (("sound", program(world)), ("harmed", program(world, ridge="noise"))):
        work = world.execute(text, name)
        scores[name] = pd.read_json(work / "diagnostics.json", typ="series")["members"]
    (ridge, trees), (harmed, same) = scores["sound"], scores["harmed"]
    assert same["score"] == trees["score"]
    assert harmed["score"] > 1.02 * ridge["score"]


def test_a_crash_breaks_the_program_and_says_that_it_was_declared(make_world: Any) -> None:
    world = make_world("regression", "rmse")
    with pytest.raises(RuntimeError, match="declared fault: fit_ridge breaks"):
        world.execute(program(world, ridge="crash"), "crash")


def test_the_mutator_names_the_renderer_of_faults(make_world: Any) -> None:
    world = make_world("regression", "rmse")
    assert plugin.decide and plugin.initial and plugin.evolve
    state = plugin.initial()
    proposed = {name: HypothesisProposed(name, Hypothesis("s", "model", {"pipeline": s})) for name, s in
                (("a1", spec()), ("a2", spec(trees="noise")))}  # fmt: skip
    said = [RunStarted(task=world.task, seed=1), *(StepPlanned(n, 0, 1) for n in proposed)]
    for seq, payload in enumerate(said, start=1):
        state = plugin.evolve(state, Event(f"{seq:032x}", "e", seq, 0.0, payload))
    for name, renderer in (("a1", RENDERER), ("a2", RENDERER_OF_FAULTS)):
        (code,) = plugin.decide(state, Event("f" * 32, "e", 9, 0.0, proposed[name]), Draw(1, "e"))
        assert isinstance(code, CodeWritten) and code.renderer == renderer and code.trusted
        assert ("noise" in str(code.spec)) == (name == "a2")

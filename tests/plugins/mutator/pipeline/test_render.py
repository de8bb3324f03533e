"""The text of programs: only what is used, in a form that a person and a linter accept."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import Any

import pytest

from gome.events.pipeline import read_pipeline
from gome.plugins.mutator.pipeline.render import LIMIT, estimate_seconds, render, render_final
from gome.plugins.mutator.pipeline.specialise import specialise

ONE = {"members": [{"model": {"family": "booster"}, "features": [{"op": "ratio", "a": "plot", "b": "size"}]}]}
THREE = {"members": [{"model": {"family": f}} for f in ("booster", "ridge", "svm")], "blend": {"kind": "weights"}}


def test_a_program_holds_only_what_its_pipeline_uses(make_world: Any) -> None:
    world = make_world("regression", "rmse")
    text = world.program(ONE)
    defined = {n.name for n in ast.parse(text).body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    assert {"main", "fit_booster", "add_ratio", "score_rmse"} <= defined
    assert not defined & {"fit_ridge", "add_sum", "score_mae", "blend_squares", "category_onehot", "temperature"}
    assert "torch" not in text
    assert "KIND ==" not in text, "branches on the kind of task are decided when the program is written"
    for name in defined - {"main"}:
        assert text.count(name) > 1, f"{name} is defined and never used"


@pytest.mark.parametrize("spec", [ONE, THREE])
@pytest.mark.parametrize(
    ("kind", "metric"), [("regression", "rmsle"), ("binary", "roc_auc"), ("multiclass", "log_loss")]
)
def test_programs_are_short_and_pass_the_linter(spec: Any, kind: str, metric: str, make_world: Any) -> None:
    world = make_world(kind, metric)
    text = world.program(spec)
    assert len(text.encode()) < (24_000 if spec is ONE else 32_000) < LIMIT
    work = world.folder / "program.py"
    work.write_text(text)
    rules = ["--isolated", "--line-length", "125", "--target-version", "py311", "--select", "E,F,UP,B,SIM"]
    done = subprocess.run([sys.executable, "-m", "ruff", "check", *rules, work], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_steps_that_members_share_are_said_once(make_world: Any) -> None:
    world = make_world("regression", "rmse")
    members = [{"model": {"family": f}, "features": ONE["members"][0]["features"]} for f in ("booster", "ridge")]
    text = world.program({"members": members})
    assert text.count('(add_ratio, {"a": "plot", "b": "size"})') == 1
    assert text.count("steps=STEPS_1") == 2


def test_rendering_is_pure(make_world: Any) -> None:
    world = make_world("multiclass", "f1_macro")
    assert world.program(THREE) == world.program(THREE)


def test_a_final_program_differs_in_two_lines(make_world: Any) -> None:
    world = make_world("regression", "rmse")
    pipeline = read_pipeline(THREE)
    plain, final = render(pipeline, world.task), render_final(pipeline, world.task, [7, 8], [0, 1])
    changed = [(a, b) for a, b in zip(plain.splitlines(), final.splitlines(), strict=True) if a != b]
    assert changed == [("SEEDS = [0]", "SEEDS = [7, 8]"), ("PARTITIONS = [0]", "PARTITIONS = [0, 1]")]


def test_a_metric_that_programs_do_not_know_is_refused(make_world: Any) -> None:
    world = make_world("regression", "pinball")
    with pytest.raises(ValueError, match="pinball"):
        world.program(ONE)


def test_a_program_that_would_be_too_long_is_refused(make_world: Any) -> None:
    world = make_world("regression", "rmse")
    members = [
        {
            "model": {"family": "ridge"},
            "features": [
                {"op": "sum", "columns": ["plot", "size"] * 20, "name": f"sum number {n} of member {m}"}
                for n in range(60)
            ],
        }
        for m in range(3)
    ]
    with pytest.raises(ValueError, match="fewer members"):
        world.program({"members": members})


def test_more_work_has_a_longer_estimate(make_world: Any) -> None:
    world = make_world("regression", "rmse")
    assert estimate_seconds(read_pipeline(THREE), world.task) > estimate_seconds(read_pipeline(ONE), world.task)


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ('if KIND == "a":\n    x = 1\nelse:\n    x = 2', "x = 1"),
        ('if KIND == "b":\n    x = 1\nelse:\n    x = 2', "x = 2"),
        ('if KIND == "b":\n    x = 1\nelif y:\n    x = 2', "if y:\n    x = 2"),
        ('if y:\n    x = 1\nelif KIND == "a":\n    x = 2\nelse:\n    x = 3', "if y:\n    x = 1\nelse:\n    x = 2"),
        ('if y:\n    x = 1\nelif KIND != "a":\n    x = 2\nelse:\n    x = 3', "if y:\n    x = 1\nelse:\n    x = 3"),
        ('x = 1 if KIND == "a" and TEXT else 2', "x = 2"),
        ('x = f(1 if KIND == "a" or y else 2)', "x = f(1)"),
        ('x = (1 if not TEXT else "é") + 1', "x = 1 + 1"),
        ('def f():\n    if KIND == "a":\n        return 1\n    return 2', "def f():\n    return 1"),
        ("if TEXT and y:\n    x = 1", ""),
        ("if y:\n    x = 1", "if y:\n    x = 1"),
    ],
)
def test_branches_that_the_facts_decide_are_left_out(source: str, left: str) -> None:
    assert specialise(source, {"KIND": "a", "TEXT": False}) == left

"""Small worlds in which rendered programs are run: tables with folds in a working folder, and a way to start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gome.events import Artifact, Column, Metric, Task
from gome.events.diagnostics import fitting
from gome.events.pipeline import read_pipeline
from gome.plugins.mutator.pipeline.render import render

NOTHING = Artifact(digest="sha256-0", size=0)
WORDS = ["good", "bad", "fine", "awful", "tasty", "bitter", "sweet", "stale", "lovely", "cold"]


@dataclass
class World:
    """A working folder with `input/`, and the task that describes it."""

    folder: Path
    task: Task
    train: pd.DataFrame
    test: pd.DataFrame
    folds: pd.DataFrame

    def program(self, spec: dict[str, Any]) -> str:
        """The text of a pipeline's program."""
        return render(read_pipeline(spec), self.task)

    def run(self, program: str, name: str = "a", *arguments: str, ok: bool = True, **environment: str) -> Path:
        """Run a program in a folder of its own and return that folder; its output must be empty of warnings."""
        work = self.folder / name
        work.mkdir(exist_ok=True)
        script = work / "program.py"
        script.write_text(program)
        shown = {k: v for k, v in os.environ.items() if not k.startswith("GOME_")}
        shown |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "default", **environment}
        told = list(arguments) or ["--data", str(self.folder / "input")]
        done = subprocess.run([sys.executable, script, *told], cwd=work, env=shown, capture_output=True, text=True)
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        assert not ok or not done.stderr, done.stderr
        return work

    def execute(self, program: str, name: str = "a", *arguments: str, **environment: str) -> Path:
        """Do the same inside this process, which spares the two seconds of importing scikit-learn and LightGBM."""
        work = self.folder / name
        work.mkdir(exist_ok=True)
        module = types.ModuleType("rendered_program")
        module.__file__ = str(work / "program.py")
        told = list(arguments) or ["--data", str(self.folder / "input")]
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("default")
            patch.setitem(sys.modules, module.__name__, module)
            patch.setattr(sys, "argv", ["program.py", *told])
            patch.chdir(work)
            for variable, value in environment.items():
                patch.setenv(variable, value)
            exec(compile(program, "program.py", "exec"), module.__dict__)
            module.main()
        assert not warned, [str(w.message) for w in warned]
        return work


def tables(kind: str, rows: int, seed: int) -> pd.DataFrame:
    """A table with numbers, gaps, categories, a quality scale, a place, a text and a date; the target needs them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": [f"r{n:04d}" for n in rng.permutation(rows)]})
    frame["size"] = np.round(rng.lognormal(4, 0.6, rows), 2)
    frame["plot"] = np.round(frame["size"] * rng.uniform(1, 4, rows), 2)
    frame["built"] = rng.integers(1950, 2000, rows)
    frame["sold"] = frame["built"] + rng.integers(1, 40, rows)
    frame["gaps"] = np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows))
    frame["zip"] = rng.integers(10, 22, rows)
    frame["east"], frame["north"] = rng.uniform(0, 1, rows), rng.uniform(0, 1, rows)
    frame["state"] = rng.choice(["Po", "Fa", "TA", "Gd", "Ex"], rows)
    frame["town"] = rng.choice([f"town {n}" for n in range(9)], rows)
    frame.loc[rng.random(rows) < 0.1, "town"] = None
    frame["said"] = [" ".join(rng.choice(WORDS, 6)) for _ in range(rows)]
    frame["when"] = (pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 700, rows), "D")).strftime("%Y-%m-%d")
    value = np.log(frame["size"]) + frame["state"].map({"Po": 0, "Fa": 0.1, "TA": 0.2, "Gd": 0.4, "Ex": 0.7})
    value += 0.5 * frame["east"] + 0.3 * frame["said"].str.count("good|tasty|lovely") + rng.normal(0, 0.15, rows)
    if kind == "regression":
        frame["y"] = np.round(np.exp(value), 3)
    elif kind == "binary":
        frame["y"] = np.where(value > value.median(), "yes", "no")
    else:
        frame["y"] = pd.cut(value, value.quantile([0, 0.3, 0.6, 1]), labels=["big", "low", "mid"], include_lowest=True)
    return frame


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., World]:
    """Make a world of a kind of task with a metric; categories, text and time columns are there as wanted."""

    def make(kind: str, metric: str, *, rows: int = 240, seed: int = 0, folder: str = "world") -> World:
        frame = tables(kind, rows, seed)
        cut = rows * 3 // 4
        train, test = frame.iloc[:cut].reset_index(drop=True), frame.iloc[cut:].drop(columns="y").reset_index(drop=True)
        rng = np.random.default_rng(seed)
        folds = pd.DataFrame({"id": train["id"]} | {f"p{p}": rng.permutation(np.arange(cut) % 3) for p in range(8)})
        kinds = {"state": "category", "town": "category", "said": "text", "when": "time"}
        columns = tuple(Column(name=c, kind=kinds.get(c, "numeric")) for c in frame if c not in ("id", "y"))
        task = Task(
            name="toy",
            kind=kind,  # type: ignore[arg-type]
            metric=Metric(metric, metric in ("roc_auc", "accuracy", "r2", "f1_macro")),
            target="y",
            id="id",
            columns=columns,
            train=NOTHING,
            test=NOTHING,
            rows_train=cut,
            rows_test=rows - cut,
            classes={"binary": ("no", "yes"), "multiclass": ("big", "low", "mid")}.get(kind, ()),
        )
        world = World(tmp_path / folder, task, train, test, folds)
        write_inputs(world, world.folder / "input", train, test, folds)
        return world

    return make


def write_inputs(world: World, folder: Path, train: pd.DataFrame, test: pd.DataFrame, folds: pd.DataFrame) -> None:
    """Write the input tables of a program."""
    folder.mkdir(parents=True)
    train.to_csv(folder / "train.csv", index=False)
    test.to_csv(folder / "test.csv", index=False)
    folds.to_csv(folder / "folds.csv", index=False)


@pytest.fixture
def diagnostics() -> Callable[[Path], dict[str, Any]]:
    """Read the diagnostics that a program left."""
    return lambda work: json.loads((work / "diagnostics.json").read_text())


@pytest.fixture
def check_contract() -> Callable[[World, Path], None]:
    """Check the files of an execution against the contract of its task."""

    def check(world: World, work: Path) -> None:
        columns = list(world.task.prediction_columns)
        oof, submission = pd.read_csv(work / "oof.csv"), pd.read_csv(work / "submission.csv")
        assert list(oof) == ["id", "fold", *columns]
        assert list(submission) == ["id", *columns]
        assert list(oof["id"]) == list(world.train["id"])
        assert list(oof["fold"]) == list(world.folds["p0"])
        assert list(submission["id"]) == list(world.test["id"])
        for table in (oof, submission):
            values = table[columns].to_numpy()
            assert np.isfinite(values).all()
            if world.task.kind != "regression":
                assert ((values >= 0) & (values <= 1)).all()
            if world.task.kind == "multiclass":
                np.testing.assert_allclose(values.sum(axis=1), 1.0, atol=1e-6)
        scores = pd.read_csv(work / "scores.csv", index_col=0)
        assert list(scores) == [world.task.metric.name]
        assert list(scores.index.astype(str)) == ["0", "1", "2", "ensemble"]
        said = json.loads((work / "diagnostics.json").read_text())
        assert said["metric"] == world.task.metric.name
        assert len(said["fold_scores"]) == 3
        assert len(json.dumps(said)) < 40_000
        assert fitting(said) == (said, [])

    return check


@pytest.fixture
def masked() -> Callable[[World, int], Path]:
    """Write the inputs of an audit: one fold's rows go to the test table without their labels; return the folder."""

    def make(world: World, fold: int) -> Path:
        held = (world.folds["p0"] == fold).to_numpy()
        rest = pd.concat([world.test, world.train[held].drop(columns="y")], ignore_index=True)
        write_inputs(world, world.folder / "audit-input", world.train[~held], rest, world.folds[~held])
        return world.folder / "audit-input"

    return make

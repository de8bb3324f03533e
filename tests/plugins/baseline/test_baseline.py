"""The baseline: one decision, and a program that runs, keeps the contract and repeats itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gome.events import (
    Artifact,
    CodeWritten,
    Column,
    DataProfiled,
    Draw,
    Event,
    Metric,
    RunStarted,
    Task,
)
from gome.plugins.baseline import plugin
from gome.plugins.baseline.decide import RENDERER, render

NOTHING = Artifact(digest="sha256-0", size=0)
CLASSES = {"regression": (), "binary": ("no", "yes"), "multiclass": ("b", "m", "s")}


def a_task(kind: str, metric: str) -> Task:
    """A task with a number, a category with gaps, a text and a date."""
    kinds = {"size": "numeric", "town": "category", "said": "text", "when": "time"}
    return Task(
        name="toy",
        kind=kind,  # type: ignore[arg-type]
        metric=Metric(metric, metric in ("roc_auc", "accuracy")),
        target="y",
        id="id",
        columns=tuple(Column(name=n, kind=k) for n, k in kinds.items()),  # type: ignore[arg-type]
        train=NOTHING,
        test=NOTHING,
        rows_train=300,
        rows_test=100,
        classes=CLASSES[kind],
    )


def inputs(folder: Path, kind: str) -> pd.DataFrame:
    """Write tables whose target follows size and town; return the training table."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"id": [f"r{n}" for n in range(400)], "size": rng.lognormal(3, 1, 400)})
    table["town"] = rng.choice(["a", "b", "c", None], 400)
    table["said"] = rng.choice(["fine words", "other words"], 400)
    table["when"] = pd.date_range("2024-01-01", periods=400).strftime("%Y-%m-%d")
    value = np.log(table["size"]) + (table["town"] == "a")
    match kind:
        case "regression":
            table["y"] = np.exp(value)
        case "binary":
            table["y"] = np.where(value > 3.2, "yes", "no")
        case _:
            table["y"] = np.select([value > 3.8, value > 2.8], ["b", "m"], "s")
    folder.mkdir(parents=True)
    train = table.iloc[:300]
    train.to_csv(folder / "train.csv", index=False)
    table.iloc[300:].drop(columns="y").to_csv(folder / "test.csv", index=False)
    pd.DataFrame({"id": train["id"], "p0": np.arange(300) % 5, "p1": np.arange(300) % 4}).to_csv(
        folder / "folds.csv", index=False
    )
    return train


def run(work: Path, program: str, *arguments: str, **environment: str) -> None:
    """Run a program in a folder; it must succeed without a warning."""
    work.mkdir(exist_ok=True)
    (work / "program.py").write_text(program)
    shown = {k: v for k, v in os.environ.items() if not k.startswith("GOME_")} | environment
    done = subprocess.run(
        [sys.executable, "program.py", *arguments], cwd=work, env=shown, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr


def test_the_profile_of_the_data_is_answered_with_the_baseline_program() -> None:
    state = plugin.initial()
    task = a_task("regression", "rmsle")
    answers = []
    for number, payload in enumerate(
        [RunStarted(task=task, seed=1), DataProfiled(folds=NOTHING, sample=NOTHING, fold_count=5, partitions=8)]
    ):
        event = Event(id=f"e{number}", type=type(payload).__name__, seq=number, ts=0.0, payload=payload)
        state = plugin.evolve(state, event)
        answers += plugin.decide(state, event, Draw(1, event.id))
    (written,) = answers
    assert isinstance(written, CodeWritten)
    assert (written.attempt, written.trusted, written.renderer) == ("baseline", True, RENDERER)
    assert str(written.program) == render(task)
    assert len(str(written.program).encode()) < 10_000


@pytest.mark.parametrize(
    ("kind", "metric", "better_than"),
    [("regression", "rmsle", 0.4), ("binary", "roc_auc", 0.9), ("multiclass", "log_loss", 0.9)],
)
def test_the_program_keeps_the_contract(kind: str, metric: str, better_than: float, tmp_path: Path) -> None:
    task = a_task(kind, metric)
    train = inputs(tmp_path / "work" / "input", kind)
    run(tmp_path / "work", render(task), GOME_SEED="3")
    columns = list(task.prediction_columns)
    oof, submission = (pd.read_csv(tmp_path / "work" / name) for name in ("oof.csv", "submission.csv"))
    assert list(oof) == ["id", "fold", *columns]
    assert list(oof["id"]) == list(train["id"])
    assert list(oof["fold"]) == [n % 5 for n in range(300)]
    assert list(submission) == ["id", *columns]
    assert list(submission["id"]) == [f"r{n}" for n in range(300, 400)]
    scores = pd.read_csv(tmp_path / "work" / "scores.csv", index_col=0)[metric]
    assert bool(scores["ensemble"] > better_than) is task.metric.greater_is_better
    assert json.loads((tmp_path / "work" / "diagnostics.json").read_text())["metric"] == metric
    # Again, elsewhere, on the same tables: the same bytes.
    run(tmp_path / "again", render(task), "--data", str(tmp_path / "work" / "input"), GOME_SEED="3")
    for name in ("oof.csv", "submission.csv", "scores.csv"):
        assert (tmp_path / "work" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_the_program_takes_partitions_and_tables(tmp_path: Path) -> None:
    data = tmp_path / "input"
    inputs(data, "regression")
    program = render(a_task("regression", "mae"))
    run(tmp_path / "other", program, "--data", str(data), GOME_PARTITION="1")
    assert set(pd.read_csv(tmp_path / "other" / "oof.csv")["fold"]) == {0, 1, 2, 3}
    found = tmp_path / "found.csv"
    run(
        tmp_path / "alone",
        program,
        "--train",
        str(data / "train.csv"),
        "--test",
        str(data / "test.csv"),
        "--out",
        str(found),
    )
    assert len(pd.read_csv(found)) == 100
    assert [file.name for file in (tmp_path / "alone").iterdir()] == ["program.py"]


@pytest.mark.parametrize("metric", ["rmse", "r2", "accuracy", "f1_macro"])
def test_the_other_metrics_compile_alone(metric: str) -> None:
    kind = "binary" if metric in ("accuracy", "f1_macro") else "regression"
    text = render(a_task(kind, metric))
    compile(text, "program.py", "exec")
    assert text.count("def score(") == 1


def test_a_metric_it_cannot_compute_gets_no_baseline() -> None:
    with pytest.raises(ValueError, match="pinball"):
        render(a_task("regression", "pinball"))

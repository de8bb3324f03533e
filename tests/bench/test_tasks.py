"""Hidden scores of whole runs beside default LightGBM and, where it is installed, FLAML with the same time and cores.

Each row is one task and one split of its table. `GOME_BENCH_TASKS` (default `ames`), `GOME_BENCH_SPLITS` (default
`7,1,2,3,4`, the shipped split first), `GOME_BENCH_TIME` (default `3m`) say what is run. The hidden score is gome's own
grade, so all three are measured by the same function on the same rows.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gome.events import Task
from gome.kernel.settings import seconds
from gome.kernel.tasks import TaskOptions, find
from gome.plugins.scorer.metrics.formulas import value
from gome.plugins.scorer.metrics.tables import answers_of

pytestmark = pytest.mark.bench
TASKS = os.environ.get("GOME_BENCH_TASKS", "ames").split(",")
SPLITS = [int(s) for s in os.environ.get("GOME_BENCH_SPLITS", "7,1,2,3,4").split(",")]
TIME = os.environ.get("GOME_BENCH_TIME", "3m")


def gome(folder: Path, task: str, split: int) -> dict[str, Any]:
    """Run gome on one split and return its summary; what it finds in its time it has also run in its time."""
    (folder / "gome.toml").write_text("[sandbox]\ncache = false\n")
    command = [
        sys.executable,
        "-m",
        "gome.kernel.cli",
        "run",
        task,
        "--time",
        TIME,
        "--split-seed",
        str(split),
        "--json",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def flaml(folder: Path, name: str, split: int) -> float | None:
    """FLAML's hidden score with the same seconds and cores, None when it is not installed."""
    try:
        from flaml import AutoML
    except ImportError:
        return None
    prepared = find(name).prepare(name, TaskOptions(split_seed=split), folder / f"flaml-{name}-{split}")
    task = prepared.task
    train, test = (pd.read_csv(prepared.files[f]) for f in ("train.csv", "test.csv"))
    features = [c.name for c in task.columns]
    for frame in (train, test):
        for column in features:
            if frame[column].dtype == object or str(frame[column].dtype).startswith("str"):
                frame[column] = frame[column].astype("category")
    metric = {"rmsle": "rmse", "roc_auc": "roc_auc", "log_loss": "log_loss"}[task.metric.name]
    target = np.log1p(train[task.target]) if task.metric.name == "rmsle" else train[task.target].astype(str)
    kind = "regression" if task.kind == "regression" else "classification"
    automl = AutoML()
    automl.fit(
        train[features], target, task=kind, metric=metric, time_budget=seconds(TIME), n_jobs=2, verbose=0, seed=0
    )
    assert prepared.answers is not None
    return _score(task, prepared.answers, test, automl, features)


def _score(task: Task, answers: Path, test: pd.DataFrame, model: Any, features: list[str]) -> float:
    ids, truth = answers_of(task, answers.read_bytes())
    rows = test.set_index(test[task.id].astype(str)).loc[[str(i) for i in ids], features]
    if task.metric.name == "rmsle":
        predicted = np.expm1(model.predict(rows))
    else:
        order = [list(map(str, model.classes_)).index(c) for c in task.classes]
        shares = model.predict_proba(rows)[:, order]
        predicted = shares if task.kind == "multiclass" else shares[:, 1]
    return float(value(task, truth, predicted))


@pytest.mark.parametrize("task", TASKS)
def test_hidden_scores_over_splits(task: str, tmp_path: Path) -> None:
    print(f"\n{task}, {TIME} a run, splits {SPLITS}")
    gains, shares, rivals = [], [], []
    for split in SPLITS:
        found = gome(tmp_path, task, split)
        over = found["over_baseline"]
        gains.append(over["gain"])
        shares.append(over["share"])
        line = (
            f"  split {split}: hidden {found['metric']} {found['hidden']:.5f}, default LightGBM {over['score']:.5f}, "
        )
        line += f"better by {over['share']:+.2%} of it, {found['steps']} steps"
        rival = flaml(tmp_path, task, split)
        if rival is not None:
            sign = 1 if found["greater_is_better"] else -1
            rivals.append(sign * (found["hidden"] - rival))
            line += f", FLAML {rival:.5f}"
        print(line, flush=True)
    print(f"  mean: better by {statistics.mean(shares):+.2%}, worst split {min(shares):+.2%}; {_paired(gains)}")
    if rivals:
        print(f"  against FLAML: {_paired(rivals)}")


def _paired(differences: list[float]) -> str:
    mean = statistics.mean(differences)
    if len(differences) < 2:
        return f"difference {mean:+.5f}"
    se = statistics.stdev(differences) / math.sqrt(len(differences))
    word = "better" if mean > 0 else ("within 1 SE" if mean > -se else "worse")
    return f"difference {mean:+.5f} ± {se:.5f} (paired over splits): {word}"

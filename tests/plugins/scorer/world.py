"""A small real task for the scorer's tests: tables in a memory store, and programs' files made from arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gome.events import METRICS, Artifact, Column, ProfileRequested, ScoreRequested, Task, TaskKind
from gome.kernel.testing import MemoryArtifacts
from gome.plugins.scorer.metrics.perform import profile_data

CLASSES: dict[str, tuple[str, ...]] = {"regression": (), "binary": ("no", "yes"), "multiclass": ("a", "b", "c")}
DEFAULTS = {"regression": "rmse", "binary": "roc_auc", "multiclass": "log_loss"}


@dataclass
class World:
    """A task with its tables, folds and hidden answers."""

    store: MemoryArtifacts
    task: Task
    train: pd.DataFrame
    test: pd.DataFrame
    answers: pd.DataFrame
    folds: Artifact
    truth: np.ndarray[Any, Any]

    def put(self, table: pd.DataFrame, name: str) -> Artifact:
        """Store a table as a CSV artifact."""
        data = table.to_csv(index=False).encode()
        return Artifact(self.store.put(data), len(data), name)

    def numbers(self, partition: int = 0) -> np.ndarray[Any, Any]:
        """Fold of each training row."""
        return self.table(self.folds)[f"p{partition}"].to_numpy()

    def table(self, file: Artifact) -> pd.DataFrame:
        """Read a stored table."""
        import io

        return pd.read_csv(io.BytesIO(self.store.get(file.digest)))

    def predictions(self, ids: Any, values: np.ndarray[Any, Any]) -> pd.DataFrame:
        """A prediction table without folds."""
        table = pd.DataFrame({"id": np.asarray(ids)})
        for position, name in enumerate(self.task.prediction_columns):
            table[name] = values if values.ndim == 1 else values[:, position]
        return table

    def oof(self, values: np.ndarray[Any, Any], partition: int = 0) -> Artifact:
        """Out-of-fold predictions in the order of train.csv."""
        table = self.predictions(self.train["id"], values)
        table.insert(1, "fold", self.numbers(partition))
        return self.put(table, "oof.csv")

    def noisy(self, noise: float, seed: int = 0, rows: int = 0) -> np.ndarray[Any, Any]:
        """Predictions whose quality falls with `noise`."""
        generator = np.random.default_rng(seed)
        truth = self.truth if not rows else np.resize(self.truth, rows)
        if self.task.kind == "regression":
            return np.asarray(truth + noise * generator.normal(size=len(truth)))
        if self.task.kind == "binary":
            return np.asarray(1 / (1 + np.exp(-(4 * truth - 2 + 4 * noise * generator.normal(size=len(truth))))))
        raw = np.exp(2 * np.eye(3)[truth.astype(int)] + 2 * noise * generator.normal(size=(len(truth), 3)))
        return np.asarray(raw / raw.sum(axis=1, keepdims=True))

    def request(self, oof: Artifact, submission: Artifact | None = None, **more: Any) -> ScoreRequested:
        """A scoring of a full execution unless said otherwise."""
        made = self.predictions(self.test["id"], self.noisy(0.3, rows=len(self.test)))
        outputs = {"oof.csv": oof, "submission.csv": submission or self.put(made, "submission.csv")}
        fields = {"attempt": "a1", "purpose": "full", "outputs": outputs, **more}
        return ScoreRequested(task=self.task, folds=self.folds, **fields)


def world(kind: TaskKind = "regression", rows: int = 400, metric: str = "", seed: int = 0) -> World:
    """Make one: three numeric columns, two categories, a signal in them."""
    generator = np.random.default_rng(seed)
    everyone = rows + rows // 2
    x = generator.normal(size=(everyone, 3))
    city = generator.integers(0, 6, everyone)
    signal = x[:, 0] + 0.5 * x[:, 1] + 0.3 * city + 0.5 * generator.normal(size=everyone)
    classes = CLASSES[kind]
    if kind == "regression":
        truth = signal + 5.0
        target = np.asarray(truth, dtype=object)
    else:
        truth = 1.0 * np.searchsorted(np.quantile(signal, np.arange(1, len(classes)) / len(classes)), signal)
        target = np.array(classes, dtype=object)[truth.astype(int)]
    frame = pd.DataFrame({"id": np.arange(everyone), "x0": x[:, 0], "x1": x[:, 1], "x2": x[:, 2]})
    frame["city"] = np.array([f"c{i}" for i in range(6)])[city]
    frame["zip"] = [f"z{i}" for i in generator.integers(0, rows // 2, everyone)]
    frame["y"] = target
    train, test = frame[:rows].copy(), frame[rows:].drop(columns="y").copy()
    answers = frame.loc[rows:, ["id", "y"]].copy()
    store = MemoryArtifacts()
    columns = tuple(Column(c, "numeric") for c in ("x0", "x1", "x2")) + tuple(
        Column(c, "category") for c in ("city", "zip")
    )
    files = []
    for name, table in (("train.csv", train), ("test.csv", test), ("answers.csv", answers)):
        data = table.to_csv(index=False).encode()
        files.append(Artifact(store.put(data), len(data), name))
    task = Task(
        "toy", kind, METRICS[metric or DEFAULTS[kind]].metric, "y", "id", columns, files[0], files[1],
        rows, len(test), classes=classes, answers=files[2].digest,
    )  # fmt: skip
    made = profile_data(store, ProfileRequested(task, seed=seed))
    return World(store, task, train, test, answers, made.folds, np.asarray(truth[:rows], dtype=np.float64))

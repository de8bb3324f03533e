"""What a run works on and what it may spend: task, metric, columns, budget. Values used inside payloads."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from gome.events.artifact import Artifact

TaskKind = Literal["regression", "binary", "multiclass"]
ColumnKind = Literal["numeric", "category", "text", "time"]


class Metric(Struct, frozen=True):
    """What is measured (`name`, a key of the scorer's metrics) and which way is better."""

    name: str
    greater_is_better: bool


class Column(Struct, frozen=True, omit_defaults=True):
    """A feature column as the task's author sees it; `note` says what a modeller should know (unit, code, trap)."""

    name: str
    kind: ColumnKind
    note: str = ""


class Task(Struct, frozen=True, omit_defaults=True):
    """A machine-learning problem, without its answers.

    Tables are CSV artifacts: `train` has `id`, the feature columns and `target`; `test` has `id` and the features. The
    hidden answers are not named here: they lie in the vault under `answers` (a digest), where only the scorer reads.
    `classes` are the target's values as text in sorted order (empty for regression; for a binary task the second one
    is the positive class). `group` and `time` name columns that folds must respect ("" when there are none).
    """

    name: str
    kind: TaskKind
    metric: Metric
    target: str
    id: str
    columns: tuple[Column, ...]
    train: Artifact
    test: Artifact
    rows_train: int
    rows_test: int
    description: str = ""
    classes: tuple[str, ...] = ()
    group: str = ""
    time: str = ""
    answers: str = ""
    source: str = ""
    licence: str = ""
    split: str = ""
    findings: tuple[str, ...] = ()
    test_is_heldout: bool = True

    @property
    def prediction_columns(self) -> tuple[str, ...]:
        """Columns of `submission.csv` and `oof.csv` beside id: the target, or one per class for multiclass tasks."""
        return self.classes if self.kind == "multiclass" else (self.target,)


class Budget(Struct, frozen=True, omit_defaults=True):
    """Upper limits of a run; None means unlimited. Seconds are active seconds of the run, money is in USD."""

    seconds: float | None = None
    steps: int | None = None
    executions: int | None = None
    execution_seconds: float | None = None
    completions: int | None = None
    tokens: int | None = None
    money: float | None = None

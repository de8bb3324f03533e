"""Writes a task's tables and describes them as `Task` and page: the last step of every source here.

Tables are CSV with `\\n` line ends; an empty cell is a missing value, floats have as many digits as it takes to read
the same number back, whole numbers with gaps stay whole. What the tables contain has been decided before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from gome.events import Artifact, Column, Metric, Task, TaskKind, digest_of
from gome.kernel.tasks import Part, PreparedTask, Reference

PARTS: dict[Part, str] = {
    "dev": "dev: methods may be improved on it",
    "held-out": "held-out: to be run once a method is finished, and every run to be told",
}
"""What the page says about the parts of a suite."""


@dataclass(frozen=True, kw_only=True)
class Tables:
    """A task as tables in memory: `train` has id, features and target, `test` the same without the target.

    `answers` (id, target; rows as in `test`) may be None. `classes` are texts in sorted order. `facts` are the rows
    of the page's table, `remarks` its bullets by heading. `references` maps the digest of answers to known scores.
    """

    name: str
    kind: TaskKind
    metric: Metric
    target: str
    id: str
    columns: tuple[Column, ...]
    train: pd.DataFrame
    test: pd.DataFrame
    answers: pd.DataFrame | None
    split: str
    classes: tuple[str, ...] = ()
    group: str = ""
    time: str = ""
    title: str = ""
    description: str = ""
    source: str = ""
    licence: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    remarks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    part: Part = ""
    references: Callable[[str], tuple[Reference, ...]] = lambda answers: ()


def whole(series: pd.Series) -> pd.Series:
    """Turn floats that are whole numbers with gaps into integers with gaps, so that 3.0 is written as 3."""
    if not pd.api.types.is_float_dtype(series) or not series.isna().any():
        return series
    known = series.dropna()
    if known.empty or bool(((known % 1) != 0).any()) or bool((known.abs() >= 2**53).any()):
        return series
    return series.astype("Int64")


def _write(frame: pd.DataFrame, path: Path) -> Artifact:
    data = frame.to_csv(index=False, lineterminator="\n").encode()
    path.write_bytes(data)
    return Artifact(digest_of(data), len(data), path.name, "text/csv")


def write(tables: Tables, folder: Path) -> PreparedTask:
    """Write train.csv, test.csv and (if known) answers.csv into `folder` and return the prepared task."""
    folder.mkdir(parents=True, exist_ok=True)
    train = _write(tables.train, folder / "train.csv")
    test = _write(tables.test, folder / "test.csv")
    answers = None if tables.answers is None else _write(tables.answers, folder / "answers.csv")
    task = Task(
        name=tables.name,
        kind=tables.kind,
        metric=tables.metric,
        target=tables.target,
        id=tables.id,
        columns=tables.columns,
        train=train,
        test=test,
        rows_train=len(tables.train),
        rows_test=len(tables.test),
        description=tables.description,
        classes=tables.classes,
        group=tables.group,
        time=tables.time,
        answers=answers.digest if answers else "",
        source=tables.source,
        licence=tables.licence,
        split=tables.split,
        test_is_heldout=answers is not None,
    )
    references = tables.references(task.answers)
    return PreparedTask(
        task=task,
        files={"train.csv": folder / "train.csv", "test.csv": folder / "test.csv"},
        answers=folder / "answers.csv" if answers else None,
        page=_page(tables, task, references),
        notices=tables.notices,
        part=tables.part,
        references=references,
    )


def _page(tables: Tables, task: Task, references: Sequence[Reference]) -> str:
    target = tables.train[tables.target]
    if task.kind == "regression":
        spread = f"{target.min():g} to {target.max():g}, median {target.median():g} (training rows)"
    else:
        counts = target.astype(str).value_counts()
        shown = [f"{name} {counts[name]:,}" for name in task.classes[:6]]
        spread = ", ".join(shown) + (f", … ({len(task.classes)} classes)" if len(task.classes) > 6 else "")
    direction = "greater is better" if task.metric.greater_is_better else "smaller is better"
    facts = [
        ("target", f"`{task.target}`: {task.kind}; {spread}"),
        ("metric", f"{task.metric.name} ({direction})"),
        ("rows", f"{task.rows_train:,} to train on, {task.rows_test:,} to predict"),
        ("columns", f"{len(task.columns)} features ({_kinds(task.columns)}), id `{task.id}`"),
        *([("group", f"`{task.group}`: rows of one group stay together; not a feature")] if task.group else []),
        *([("time", f"`{task.time}`: the rows to predict are the later ones")] if task.time else []),
        ("split", task.split),
        ("answers", "hidden until the run has ended" if task.test_is_heldout else "unknown: there is no hidden score"),
        *([("part", PARTS[tables.part])] if tables.part else []),
        *((f"hidden score of {known.method}", _score(known)) for known in references),
        *tables.facts,
        *([("source", task.source)] if task.source else []),
        *([("licence", task.licence)] if task.licence else []),
    ]
    lines = [f"# {task.name}" + (f": {tables.title}" if tables.title else ""), ""]
    if task.description:
        lines += [task.description, ""]
    lines += ["| fact | value |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in facts), ""]
    for heading, remarks in tables.remarks.items():
        if remarks:
            lines += [f"## {heading}", "", *(f"- {remark}" for remark in remarks), ""]
    lines += ["## Columns", "", "| column | kind | note |", "|---|---|---|"]
    lines += [f"| `{_cell(column.name)}` | {column.kind} | {_cell(column.note)} |" for column in task.columns]
    return "\n".join(lines) + "\n"


def _score(known: Reference) -> str:
    return f"{known.score:.5g} (standard error over rows {known.se:.2g}): {known.how}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _kinds(columns: Sequence[Column]) -> str:
    counts: dict[str, int] = {}
    for column in columns:
        counts[column.kind] = counts.get(column.kind, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())

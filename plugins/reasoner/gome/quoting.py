"""How tasks, attempts and figures read in prompts. What is shown is decided by the callers' `share` of the data.

Nothing here tells one run from another: no ids of attempts, no clock; seconds have one significant digit.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from gome.events import Attempt, Recollection, RunStarted, Task, Trajectory
from gome.plugins.reasoner.gome.render import Block, Section

ROWS = 5
"""Training rows that `share = sample` shows."""
_CELL = 60
_CELLS = 40


def number(value: float | None) -> str:
    """A figure as prompts show it."""
    return "unknown" if value is None else f"{value:.5g}"


def coarse(seconds: float) -> str:
    """Seconds with one significant digit: what a program takes differs a little each time, and prompts should not."""
    if not math.isfinite(seconds) or seconds <= 0:
        return "no time"
    rounded = float(f"{seconds:.0e}")
    return f"about {rounded:.0f} s" if rounded >= 1 else "less than a second"


def steady(value: Any, name: str = "") -> Any:
    """Diagnostics with figures of five digits, and times as coarse as `coarse`."""
    if isinstance(value, dict):
        return {key: steady(item, str(key).lower()) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [steady(item, name) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        timed = any(word in name for word in ("second", "time", "elapsed", "duration"))
        return float(f"{value:.0e}") if timed else float(f"{value:.5g}")
    return value


def first_rows(table: bytes) -> str:
    """The head of a CSV table and its first rows, wide ones and long cells cut."""
    lines = csv.reader(io.StringIO(table.decode("utf-8", "replace"), newline=""))
    shown = []
    for row in lines:
        cells = [cell if len(cell) <= _CELL else cell[: _CELL - 1] + "…" for cell in row[:_CELLS]]
        shown.append(", ".join([*cells, f"[{len(row) - _CELLS} more]"] if len(row) > _CELLS else cells))
        if len(shown) > ROWS:
            break
    return "\n".join(shown)


def story(attempt: Attempt, trajectory: Trajectory, *, told: bool) -> str:
    """What an attempt tried and what came of it; `told` allows texts of errors and of the judge."""
    h = attempt.hypothesis

    def nameless(text: str) -> str:
        def name(word: re.Match[str]) -> str:
            if word[0] not in trajectory.attempts:
                return word[0]
            return "its parent" if word[0] == attempt.parent else "another attempt"

        return re.sub(r"\b\w+\b", name, text)

    lines = []
    if h and h.problem:
        lines.append(f"challenge: {h.problem}")
    if h:
        lines.append(f"change ({h.component}): {h.statement}")
    if attempt.accepted:
        lines.append(f"accepted, score {number(attempt.score)}, gain {number(attempt.gain)} ± {number(attempt.noise)}")
    elif attempt.score is not None:
        judged = "not accepted, " if attempt.accepted is False else ""
        gain = f", gain {number(attempt.gain)} ± {number(attempt.noise)}" if judged else ""
        lines.append(f"{judged}score {number(attempt.score)}{gain}")
    elif attempt.rule == "hopeless":
        lines.append("not accepted: stopped early, since it was worse on the folds that it had finished")
    else:
        lines.append(f"failed ({attempt.failure or 'before it could be scored'})")
    if told and attempt.accepted is False and attempt.reason:
        lines.append(f"because: {nameless(attempt.reason[:1500])}")
    if attempt.execution:
        lines.append(f"it ran for {coarse(attempt.execution.seconds)}")
    if attempt.feedback:
        said = (("view", attempt.feedback.reason), ("lesson", attempt.feedback.lesson))
        lines += [f"{name}: {nameless(text)}" for name, text in said if text]
    return "\n".join(lines)


def program_of(attempt: Attempt | None) -> str:
    """The text of an attempt's program, "" without one."""
    return str(attempt.code.program) if attempt and attempt.code else ""


def difference(before: Attempt | None, after: Attempt) -> str:
    """The unified difference of two attempts' programs; "" when there is nothing to compare with."""
    old, new = program_of(before), program_of(after)
    if not old:
        return ""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "before", "after", lineterm="")
    return "\n".join(lines)


def memory_entries(recollections: Sequence[Recollection], trajectory: Trajectory) -> list[str]:
    """What was recalled, numbered from 1."""
    found = []
    for position, r in enumerate(recollections, start=1):
        attempt = trajectory.attempts.get(r.attempt)
        score = f", score {number(attempt.score)}" if attempt else ""
        verdict = "accepted" if r.accepted else f"failed: {r.failure}" if r.failure else "not accepted"
        text = f"memory {position} ({verdict}{score}, gain {number(r.gain)}): {r.statement}"
        if attempt and attempt.feedback and attempt.feedback.lesson:
            text += f"\nlesson: {attempt.feedback.lesson}"
        found.append(text)
    return found


def task_sections(task: Task, profile: dict[str, Any], share: str, table: Callable[[], bytes]) -> dict[str, Section]:
    """What may be shown of a task and its data."""
    found: dict[str, Section] = {
        "description": Block("The task in its author's words", task.description or task.name),
        "columns": Block("", ""),
        "rows": Block("", ""),
    }
    if share != "none":
        found["columns"] = Block("Columns and what is known of them", columns_text(task, profile))
    if share == "sample":
        found["rows"] = Block("First rows of the training table", first_rows(table()), "csv")
    return found


def columns_text(task: Task, profile: dict[str, Any]) -> str:
    """Names, types and aggregates; no rows."""
    lines = [f"target: {task.target}", f"id: {task.id}"]
    lines += [f"{name}: {value}" for name, value in (("group", task.group), ("time", task.time)) if value]
    lines.append(f"rows: {task.rows_train} to learn from, {task.rows_test} to predict")
    if task.classes:
        lines.append("classes: " + ", ".join(task.classes))
    lines += [f"finding: {finding}" for finding in task.findings]
    lines += [f"{c.name} ({c.kind}){': ' + c.note if c.note else ''}" for c in task.columns]
    if profile:
        lines.append("profile:")
        lines += [f"{name} = {json.dumps(steady(value), ensure_ascii=False)}" for name, value in profile.items()]
    return "\n".join(lines)


def task_facts(task: Task, libraries: Sequence[str]) -> dict[str, Any]:
    """Our own words about a task."""
    kinds = {
        "regression": "predict a number (regression)",
        "binary": "tell two classes apart (binary classification)",
        "multiclass": f"tell {len(task.classes)} classes apart (multiclass classification)",
    }
    return {
        "kind": kinds[task.kind],
        "metric": task.metric.name,
        "better": "higher" if task.metric.greater_is_better else "lower",
        "libraries": ", ".join(libraries),
    }


def environment_libraries(started: RunStarted | None) -> list[str]:
    """Libraries that programs find, without versions; torch is the one that may be missing."""
    found = ["numpy", "pandas", "scikit-learn", "lightgbm"]
    return [*found, "torch"] if started and "torch" in started.environment else found

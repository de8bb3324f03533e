"""The baseline's one decision: when the data are known, write the default program under the attempt `baseline`.

Pure. The program is `template.py` with the task's constants in place of its own; it is no step of any trace, and the
judge takes it as what a first attempt is compared with.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gome.events import CodeWritten, DataProfiled, Draw, Event, Payload, RunStarted, Text
from gome.events.task import Task
from gome.events.trajectory import BASELINE
from gome.kernel.plugin import Plugin

_TEMPLATE = Path(__file__).with_name("template.py").read_text()
_METRICS = Path(__file__).with_name("scores.py").read_text()
RENDERER = "sha256-" + hashlib.sha256((Path(__file__).read_text() + _TEMPLATE + _METRICS).encode()).hexdigest()
"""Digest of this file, the template and its metrics."""


@dataclass(slots=True)
class State:
    """The task of the run."""

    task: Task | None = None


def _metric(name: str) -> str:
    """Return the source of the metric's function and its imports; ValueError for a metric that programs do not know."""
    found = re.search(rf"(?ms)^def {re.escape(name)}\(.*?(?=^def |\Z)", _METRICS)
    if found is None:
        known = ", ".join(re.findall(r"(?m)^def (\w+)\(", _METRICS))
        raise ValueError(f"the baseline cannot compute the metric {name!r}; it knows {known}")
    return found.group(0).rstrip()


def _with(text: str, pattern: str, replacement: str) -> str:
    return re.sub(pattern, lambda _: replacement, text, count=1)


def render(task: Task) -> str:
    """Return the baseline program of a task; ValueError if it cannot compute the task's metric."""
    body = _metric(task.metric.name)
    wanted = re.findall(r"metrics\.(\w+)", body)
    constants = {
        "KIND": task.kind,
        "METRIC": task.metric.name,
        "ID": task.id,
        "TARGET": task.target,
        "CLASSES": list(task.classes),
        "CATEGORY": [c.name for c in task.columns if c.kind in ("category", "text")],
        "TIME": [c.name for c in task.columns if c.kind == "time"],
        "FEATURES": [c.name for c in task.columns],
    }
    text = _TEMPLATE
    for name, value in constants.items():
        text = _with(text, rf"(?m)^{name}(: [\w\[\]]+)? = .*$", f"{name} = {json.dumps(value, ensure_ascii=False)}")
    text = _with(text, r"(?ms)^def score\(.*?(?=^def )", re.sub(r"^def \w+", "def score", body) + "\n\n\n")
    if not wanted:
        text = text.replace("from sklearn import metrics\n", "")
    return text.replace("(a template: the constants are an example)", f"for the task {task.name}")


def evolve(state: State, event: Event) -> State:
    """Fold one event."""
    if isinstance(event.payload, RunStarted):
        state.task = event.payload.task
    return state


def decide(state: State, event: Event, draw: Draw) -> Sequence[Payload]:
    """Answer the profile of the data with the baseline program; stay silent for a metric that it cannot compute."""
    if not isinstance(event.payload, DataProfiled) or state.task is None:
        return ()
    try:
        program = Text.of(render(state.task))
    except ValueError:
        return ()
    return (
        CodeWritten(
            attempt=BASELINE,
            program=program,
            digest=program.digest,
            trusted=True,
            renderer=RENDERER,
            estimate_seconds=round(2.0 + 6 * state.task.rows_train / 5000 * max(1, len(state.task.classes) - 1), 1),
        ),
    )


plugin = Plugin(
    name="baseline",
    role="plugin",
    summary="runs default LightGBM once, as the attempt that others must beat",
    reads=(RunStarted, DataProfiled),
    answers=(DataProfiled,),
    initial=State,
    evolve=evolve,
    decide=decide,
    default=True,
    modules=("gome.plugins.baseline",),
)

"""Renders prompts: what a model is shown of the task, the data and a program. Pure but for reading its own templates.

Prompts hold no ids of a run, no times of day, and durations with one significant digit only, so that equal situations
make equal prompts. Whatever others have written (the task's author, a program, its output, another model) stands in a
fenced block with a label, whose fence it cannot close. What is too long is cut by `within`: the oldest faults go first,
then the oldest other programs, then the middle of the longest text; the program to change is never cut.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gome.events import METRICS, RunStarted, Task
from gome.kernel.loop import Share

if TYPE_CHECKING:
    from jinja2 import Environment

DESCRIPTION, COLUMNS, PROFILE, FINDINGS, ROWS = 8_000, 16_000, 16_000, 3_000, 4_000
"""Characters at most of what is shown of the task."""
SKETCH, PROBLEM, OTHER, EARLIER, REMARK = 12_000, 8_000, 16_000, 400, 2_000
"""Characters at most of what is shown of an attempt: each part by itself."""
ROOM = 48_000
"""Characters of a user's message on top of the program that it is about."""
PROMPTS = Path(__file__).with_name("prompts")
LIBRARIES = ("numpy", "pandas", "scipy", "scikit-learn", "lightgbm", "torch")


def middle(text: str, most: int) -> str:
    """A text of at most `most` characters (at least 40): the middle is left out of a longer one, and it says so."""
    if len(text) <= most:
        return text
    gap = "\n[… left out …]\n"
    head = (most - len(gap)) // 2
    return text[:head] + gap + text[len(text) - (most - len(gap) - head) :]


def block(text: str, label: str) -> str:
    """A labelled block whose fence is longer than any run of backticks in it, so that nothing inside closes it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{label}\n{text.rstrip()}\n{fence}"


def coarse(seconds: float) -> str:
    """A duration with one significant digit; "" for none."""
    if seconds <= 0:
        return ""
    step = 10.0 ** math.floor(math.log10(seconds))
    return f"{round(seconds / step) * step:g}"


@lru_cache(maxsize=1)
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(PROMPTS),
        undefined=StrictUndefined,
        autoescape=False,  # prompts are no HTML
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["block"] = block
    return made


def render(template: str, values: Mapping[str, Any]) -> str:
    """A template of this plugin with these values; a name that it uses and that is not given is an error."""
    return _templates().get_template(f"{template}.j2").render(values).strip()


@dataclass(frozen=True)
class Situation:
    """What every call of a run is told: the task, and what may be shown of its data (`share`). `rows` are the header
    and the first rows of train.csv as text, `limits` the runner's table in the settings."""

    task: Task
    share: Share
    profile: Mapping[str, Any]
    findings: Sequence[str]
    environment: Mapping[str, str]
    limits: Mapping[str, Any]
    rows: str = ""

    @classmethod
    def of(
        cls, started: RunStarted, share: Share, profile: Mapping[str, Any], findings: Sequence[str], rows: str
    ) -> Situation:
        """The situation of a run."""
        limits = started.settings.get(started.roles.get("runner", ""), {})
        return cls(started.task, share, profile, findings, started.environment, limits, rows)

    def system(self, template: str) -> str:
        """The first message of a conversation (`developer` or `judge`): role, contract and task, the same all run
        long, so that endpoints can keep it."""
        return render(template, self._values())

    def _values(self) -> dict[str, Any]:
        task, shown = self.task, self.share != "none"
        facts = METRICS.get(task.metric.name)
        profile = {name: value for name, value in self.profile.items() if name != "names" and value not in ({}, [])}
        columns = "\n".join(f"{c.name} | {c.kind}" + (f" | {c.note}" if c.note else "") for c in task.columns)
        return {
            "kind": task.kind,
            "metric": task.metric.name,
            "greater": task.metric.greater_is_better,
            "probabilities": facts is not None and facts.probabilities,
            "minimum": facts.minimum if facts else None,
            "names": names_of(task, shown=shown),
            "shown": shown,
            "rows_train": task.rows_train,
            "rows_test": task.rows_test,
            "description": middle(task.description, DESCRIPTION),
            "columns": middle(columns, COLUMNS) if shown else "",
            "profile": middle(msgspec.json.encode(profile).decode(), PROFILE) if shown and profile else "",
            "findings": middle("\n".join(self.findings), FINDINGS) if shown else "",
            "rows": middle(self.rows, ROWS) if self.share == "sample" else "",
            "python": ".".join(self.environment.get("python", "3").split(".")[:2]),
            "libraries": [f"{n} {self.environment[n]}" for n in LIBRARIES if n in self.environment],
            "seconds": self.limits.get("seconds"),
            "memory_mb": self.limits.get("memory_mb"),
            "cores": self.limits.get("cores"),
            "gpus": self.limits.get("gpus"),
            "gpu_share": self.limits.get("gpu_share"),
        }


def names_of(task: Task, *, shown: bool) -> dict[str, str]:
    """How the contract speaks of columns: by name, or, where no names may be shown, by words that it explains."""
    if not shown:
        return {
            "id": "ID",
            "target": "TARGET",
            "predictions": "PREDICTIONS",
            "positive": "the second of its two values in the order of their texts",
        }
    return {
        "id": quoted(task.id),
        "target": quoted(task.target),
        "predictions": middle(", ".join(quoted(name) for name in task.prediction_columns), 4_000),
        "positive": quoted(task.classes[-1]) if task.classes else "",
    }


def quoted(name: str) -> str:
    """A name out of a table's header, for use within a sentence: it cannot end its quotes or its line."""
    if "`" in name or not name.isprintable():
        return json.dumps(name)
    return f"`{name}`"


def within(
    most: int,
    template: str,
    values: Mapping[str, Any],
    *,
    earlier: Sequence[str] = (),
    others: Sequence[str] = (),
    whole: Sequence[str] = ("program",),
) -> str:
    """Render a message of at most `most` characters. `earlier` and `others` go to the template under these names and
    are cut first, oldest first; then the longest text among `values` is cut in the middle, but none named in `whole`
    (those may make it longer than `most`)."""
    shown, faults, programs = dict(values), list(earlier), list(others)
    while True:
        text = render(template, {**shown, "earlier": faults, "others": programs})
        excess = len(text) - most
        if excess <= 0:
            return text
        if faults:
            del faults[0]
        elif programs:
            del programs[0]
        else:
            texts = {n: v for n, v in shown.items() if isinstance(v, str) and n not in whole and len(v) > 200}
            if not texts:
                return text
            name = max(texts, key=lambda n: len(texts[n]))
            shown[name] = middle(texts[name], max(200, len(texts[name]) - excess))

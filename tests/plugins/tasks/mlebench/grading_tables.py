"""What tests of graders share: tables as dicts, and the value that a grader gives them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from gome.plugins.tasks.mlebench.graders import graders

Table = dict[str, Any]


def score(name: str, submission: Table, answers: Table | list[Any]) -> float:
    """The value of a competition's grader."""
    table = answers if isinstance(answers, list) else pd.DataFrame(answers)
    return float(graders()[name](pd.DataFrame(submission), table))


def rows(key: str, target: str, values: list[Any], ids: list[Any] | None = None) -> Table:
    """A table of two columns; ids `a`, `b`, … unless named."""
    return {key: ids or [chr(97 + place) for place in range(len(values))], target: values}

"""Trajectories as tables: one row per attempt, for notebooks, spreadsheets and comparisons between runs.

    from gome.kernel.frames import to_frame
    to_frame(result.trajectory)                       # one run
    to_frame({"a": first, "b": second})               # several, told apart by the column `run`

`rows` needs nothing but the trajectory, `to_frame` pandas; `write_csv`, `write_json` and `write_parquet` write files.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gome.events import Attempt, Trajectory
from gome.kernel.errors import UsageError

if TYPE_CHECKING:
    import pandas

COLUMNS: dict[str, str] = {
    "run": "id of the run",
    "attempt": "name of the attempt in its run: a1, a2, … in planning order, or baseline",
    "trace": "branch that it belongs to, from 0; -1 for the baseline",
    "step": "number of the step in its trace, as the search counts",
    "parent": "attempt that it builds on; empty for a draft",
    "kind": "draft, improve, debug, merge or baseline",
    "stage": "draft, improve or ensemble",
    "component": "part of the solution that the hypothesis touches",
    "move": "name of the reasoner's move, where it has one",
    "statement": "what the hypothesis changes",
    "score": "validation score of the full execution, in the task's metric; missing when there is none",
    "score_se": "standard error of that score over rows",
    "gain": "paired improvement over the parent as the judge measured it, positive better; missing when undecided",
    "noise": "the judge's standard error of that gain",
    "accepted": "whether the judge took it; missing while undecided",
    "rule": "rule by which the judge decided",
    "reason": "the judge's reason, or why the attempt failed",
    "failure": "class of the failure; empty when it did not fail",
    "seconds": "wall seconds of all its executions",
    "money": "USD spent on it; missing where a model's price is unknown",
    "tokens": "tokens spent on it",
    "planned_at": "active seconds of the run when it was planned",
    "ended_at": "active seconds of the run when it was judged; missing while undecided",
    "program": "digest of the program; empty when none was written",
}
"""Columns of the table in order, and what they mean."""
_TYPES = {
    **dict.fromkeys(COLUMNS, "str"),
    "trace": "int64",
    "step": "int64",
    "accepted": "boolean",
    "tokens": "int64",
    **dict.fromkeys(("score", "score_se", "gain", "noise", "seconds", "money", "planned_at", "ended_at"), "float64"),
}


def rows(trajectory: Trajectory, run: str = "") -> Iterator[dict[str, Any]]:
    """One dict per attempt with the keys of `COLUMNS`: the baseline first, then attempts in planning order."""
    baseline = [trajectory.baseline] if trajectory.baseline else []
    for a in (*baseline, *trajectory.attempts.values()):
        yield dict(zip(COLUMNS, _cells(a, run), strict=True))


def _cells(a: Attempt, run: str) -> tuple[Any, ...]:
    decided = a.accepted is not None and bool(a.rule or a.ended_at)
    return (
        run,
        a.id,
        a.trace,
        a.step,
        a.parent,
        a.kind,
        a.stage if a.kind != "baseline" else "",
        a.hypothesis.component if a.hypothesis else "",
        a.hypothesis.move if a.hypothesis else "",
        a.hypothesis.statement if a.hypothesis else "",
        a.score,
        a.scored.se if a.scored else None,
        a.gain if decided else None,
        a.noise if decided else None,
        a.accepted,
        a.rule,
        a.reason,
        a.failure,
        a.seconds,
        a.money,
        a.tokens,
        a.planned_at,
        a.ended_at if decided else None,
        a.code.digest if a.code else "",
    )


def to_frame(trajectories: Trajectory | Mapping[str, Trajectory]) -> pandas.DataFrame:
    """Return a DataFrame with one row per attempt and the columns of `COLUMNS`; several trajectories by run id."""
    import pandas

    several = trajectories if isinstance(trajectories, Mapping) else {"": trajectories}
    found = [row for run, t in several.items() for row in rows(t, run)]
    return pandas.DataFrame(found, columns=list(COLUMNS)).astype(_TYPES)


def write_csv(trajectory: Trajectory, run: str, out: TextIO) -> None:
    """Write a header and a line per attempt; missing values are empty."""
    writer = csv.DictWriter(out, fieldnames=list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    for row in rows(trajectory, run):
        writer.writerow({name: str(value).lower() if isinstance(value, bool) else value for name, value in row.items()})


def write_json(trajectory: Trajectory, run: str, out: TextIO) -> None:
    """Write one JSON object per line and attempt."""
    for row in rows(trajectory, run):
        out.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_parquet(trajectory: Trajectory, run: str, path: Path) -> None:
    """Write a Parquet file. pyarrow is an extra because its 150 MB are a fifth of a whole installation; raises
    `UsageError` where it is missing."""
    try:
        to_frame({run: trajectory}).to_parquet(path, engine="pyarrow", index=False)
    except ImportError:
        raise UsageError('Parquet needs pyarrow: pip install "gome[parquet]", or choose --format csv') from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error

"""Trajectories as tables: one row per attempt, for notebooks, spreadsheets and comparisons between runs.

    from gome.kernel.frames import read, to_frame
    to_frame(result.trajectory)                       # one run
    to_frame(read("ames-1126-0446-ed05", "other"))    # several runs of the log, told apart by the column `run`

`rows` needs nothing but the trajectory, `to_frame` pandas. The tables in files (`CsvTable`, `JsonTable`,
`ParquetTable`) take one run after the other and keep none, so that they hold any number of them.
"""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TextIO

from gome.events import BASELINE, Artifact, Attempt, Trajectory
from gome.kernel.errors import UsageError

if TYPE_CHECKING:
    import pandas
    import pyarrow

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
    "hypothesis": "what the attempt changes, in a sentence",
    "score": "validation score of the full execution, in the task's metric; missing when there is none",
    "score_se": "standard error of that score over rows",
    "scores": "how many full scores it has: the first, and repeats on other partitions or seeds",
    "score_mean": "mean of those scores",
    "gain": "paired improvement over the parent as the judge measured it, positive better; missing when undecided",
    "noise": "the judge's standard error of that gain",
    "decision": "accepted, rejected, open while undecided, reference for the baseline",
    "accepted": "whether the judge took it; missing while undecided",
    "rule": "rule by which the judge decided",
    "reason": "the judge's reason, or why the attempt failed",
    "failure": "class of the failure; empty when it did not fail",
    "seconds": "wall seconds of all its executions",
    "cost": "USD spent on it; missing where a model's price is unknown",
    "tokens": "tokens spent on it",
    "planned_at": "active seconds of the run when it was planned",
    "ended_at": "active seconds of the run when it was judged; missing while undecided",
    "program": "digest of the program; empty when none was written",
    "oof": "digest of its out-of-fold predictions; empty when it made none",
    "submission": "digest of its predictions for the test table; empty when it made none",
}
"""Columns of the table in order, and what they mean."""
_TYPES = {
    **dict.fromkeys(COLUMNS, "str"),
    "trace": "int64",
    "step": "int64",
    "accepted": "boolean",
    "tokens": "int64",
    "scores": "int64",
    **dict.fromkeys(
        ("score", "score_se", "score_mean", "gain", "noise", "seconds", "cost", "planned_at", "ended_at"), "float64"
    ),
}


def rows(trajectory: Trajectory, run: str = "") -> Iterator[dict[str, Any]]:
    """One dict per attempt with the keys of `COLUMNS`: the baseline first, then attempts in planning order."""
    baseline = [trajectory.baseline] if trajectory.baseline else []
    for a in (*baseline, *trajectory.attempts.values()):
        yield dict(zip(COLUMNS, _cells(a, run), strict=True))


def _cells(a: Attempt, run: str) -> tuple[Any, ...]:
    decided = a.accepted is not None and bool(a.rule or a.ended_at)
    scores = [found.score for found in ((a.scored,) if a.scored else ()) + a.repeats]
    ended = next((e for e in reversed(a.executions) if e.ok and e.purpose == "full"), None)
    files = ended.outputs if ended else {}
    return (
        run,
        a.id,
        a.trace,
        a.step,
        a.parent,
        a.kind,
        a.stage if a.kind != BASELINE else "",
        a.hypothesis.component if a.hypothesis else "",
        a.hypothesis.move if a.hypothesis else "",
        a.hypothesis.statement if a.hypothesis else "",
        a.score,
        a.scored.se if a.scored else None,
        len(scores),
        statistics.fmean(scores) if scores else None,
        a.gain if decided else None,
        a.noise if decided else None,
        _decision(a),
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
        _digest(files.get("oof.csv")),
        _digest(files.get("submission.csv")),
    )


def _decision(a: Attempt) -> str:
    if a.id == BASELINE:
        return "reference"
    return "open" if a.accepted is None else "accepted" if a.accepted else "rejected"


def _digest(artifact: Artifact | None) -> str:
    return artifact.digest if artifact else ""


Several = Mapping[str, Trajectory] | Iterable[tuple[str, Trajectory]]
"""Trajectories by run id; pairs may be made one after the other, and none is kept."""


def to_frame(trajectories: Trajectory | Several) -> pandas.DataFrame:
    """Return a DataFrame with one row per attempt and the columns of `COLUMNS`; several trajectories by run id."""
    import pandas

    if isinstance(trajectories, Trajectory):
        several: Iterable[tuple[str, Trajectory]] = [("", trajectories)]
    else:
        several = trajectories.items() if isinstance(trajectories, Mapping) else trajectories
    found = [row for run, t in several for row in rows(t, run)]
    return pandas.DataFrame(found, columns=list(COLUMNS)).astype(_TYPES)


def read(*runs: str, nats: str = "") -> dict[str, Trajectory]:
    """The trajectories of these runs by run id (without any: of all runs of the log), for notebooks and scripts that
    run no event loop. A run is an id or an archive (`FILE.gome`, `FILE.gome:RUN`); `nats` is the URL of a server other
    than the home's. Raises `UnknownRun` for a run that is not there."""
    import anyio

    from gome.kernel.archive import place_of
    from gome.kernel.cli.opening import folded, opened, reading

    async def fold() -> dict[str, Trajectory]:
        found: dict[str, Trajectory] = {}
        names = [run for run in runs if place_of(run) is None]
        if names or not runs:
            async with opened(nats) as connection:
                for name in names or await connection.log.runs():
                    found[name] = (await folded(connection, name)).trajectory
        for archive in (run for run in runs if place_of(run) is not None):
            async with reading(archive) as (connection, name):
                found[name] = (await folded(connection, name)).trajectory
        return found

    return anyio.run(fold)


class Table(Protocol):
    """A file that is being written, run by run."""

    def add(self, run: str, trajectory: Trajectory) -> int:
        """Write a run's rows; returns how many there were."""
        ...


class CsvTable:
    """A header and a line per attempt; missing values are empty."""

    def __init__(self, out: TextIO) -> None:
        self._writer = csv.DictWriter(out, fieldnames=list(COLUMNS), lineterminator="\n")
        self._writer.writeheader()

    def add(self, run: str, trajectory: Trajectory) -> int:
        """See `Table.add`."""
        found = list(rows(trajectory, run))
        for row in found:
            cells = {name: str(value).lower() if isinstance(value, bool) else value for name, value in row.items()}
            self._writer.writerow(cells)
        return len(found)


class JsonTable:
    """One JSON object per line and attempt."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def add(self, run: str, trajectory: Trajectory) -> int:
        """See `Table.add`."""
        found = list(rows(trajectory, run))
        self._out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        return len(found)


BATCH = 20_000
"""Rows of a Parquet file that are kept in memory before they are written as one group."""


class ParquetTable:
    """A Parquet file in groups of `BATCH` rows. pyarrow is an extra because its 150 MB are a fifth of a whole
    installation; raises `UsageError` where it is missing, and where the file cannot be written."""

    def __init__(self, out: Path | BinaryIO) -> None:
        try:
            import pyarrow
            from pyarrow.parquet import ParquetWriter
        except ImportError:
            raise UsageError('Parquet needs pyarrow: pip install "gome[parquet]", or choose --format csv') from None
        kinds = {"str": pyarrow.string(), "int64": pyarrow.int64(), "boolean": pyarrow.bool_()}
        about = {name: {"about": text} for name, text in COLUMNS.items()}
        self.name = str(out) if isinstance(out, Path) else "stdout"
        self._rows: list[dict[str, Any]] = []
        self._schema: pyarrow.Schema = pyarrow.schema(
            [pyarrow.field(n, kinds.get(_TYPES[n], pyarrow.float64()), metadata=about[n]) for n in COLUMNS]
        )
        try:
            self._writer = ParquetWriter(out, self._schema)
        except OSError as error:
            raise UsageError(f"cannot write {self.name}: {error.strerror or error}") from error

    def add(self, run: str, trajectory: Trajectory) -> int:
        """See `Table.add`."""
        found = list(rows(trajectory, run))
        self._rows += found
        if len(self._rows) >= BATCH:
            self._flush()
        return len(found)

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow

        found, self._rows = self._rows, []
        try:
            if found:
                self._writer.write_table(pyarrow.Table.from_pylist(found, schema=self._schema))
        except OSError as error:
            raise UsageError(f"cannot write {self.name}: {error.strerror or error}") from error

"""The table of a bench: one row per finished cell, as Parquet or JSON lines; everything a report says is read off it.

`rows` makes it from the logs, worlds and archives make it from what they recorded, `gome report` reads it. What is in a
row was measured or recorded; means, differences and intervals are computed by who reads. Parquet keeps the curve as a
list of structs and the factors as JSON text, so that any tool can open it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct, field

from gome.kernel.errors import UsageError

if TYPE_CHECKING:
    import pyarrow

CURRENCIES = ("seconds", "executions", "completions", "tokens", "money", "steps", "execution_seconds")
"""What a budget can be stated in: fields of `gome.events.Budget`, of `Row`, and (but the last two) of `Point`."""

Split = Literal["dev", "held-out", ""]


class Point(Struct, frozen=True, kw_only=True):
    """How far a run was when an attempt had been decided. `attempt` is its name in the run; `seconds` (active wall
    seconds), `executions`, `completions`, `tokens` and `money` (USD; None where a price is unknown) are what the run
    had used by then. `validation_best` is the best accepted validation score so far (None before the first) and
    `hidden_of_best` the hidden score of that same attempt, both in units of the metric."""

    attempt: str
    seconds: float = 0.0
    executions: int = 0
    completions: int = 0
    tokens: int = 0
    money: float | None = 0.0
    validation_best: float | None = None
    hidden_of_best: float | None = None


class Row(Struct, frozen=True, kw_only=True):
    """One finished cell of a bench.

    `cell` is the digest of what was asked for, `run` the id of its run, `task_digest` covers the task's tables and
    rules, `playbook` the reasoner's and its mutator's code, `commit` says which code ran. `outcome` is the run's: done,
    stopped, failed, or lost where it could not be started. Scores are in units of `metric`: `validation` and `hidden`
    (± `hidden_se`) of what was handed in, `best_hidden` the best of any attempt of the run (the gap to `hidden` is what
    selecting cost), `baseline` the hidden score of the default LightGBM of the same run, `reference` the best hidden
    score known for the task. None where there is no such thing. `seconds` are active wall seconds, `execution_seconds`
    those of executions that were not answered from a cache, `money` is in USD. `quality` is the rank correlation, in
    [-1, 1], of the impact that hypotheses were predicted to have and the gain that was measured (see
    `gome.events.quality`; None where there are too few of them). `curve` has a point per decided attempt, in order."""

    bench: str
    cell: str
    run: str
    suite: str = ""
    task: str
    task_digest: str = ""
    split: Split = ""
    search: str
    reasoner: str = ""
    model: str = ""
    profile: str = ""
    factors: dict[str, str | float] = field(default_factory=dict)
    seed: int = 0
    split_seed: int = 0
    outcome: str = "done"
    metric: str = ""
    greater_is_better: bool = False
    validation: float | None = None
    hidden: float | None = None
    hidden_se: float | None = None
    best_hidden: float | None = None
    baseline: float | None = None
    reference: float | None = None
    seconds: float = 0.0
    executions: int = 0
    completions: int = 0
    tokens: int = 0
    money: float | None = 0.0
    execution_seconds: float = 0.0
    steps: int = 0
    accepted: int = 0
    quality: float | None = None
    playbook: str = ""
    commit: str = ""
    curve: tuple[Point, ...] = ()


def encode(rows: Iterable[Row]) -> bytes:
    """Rows as JSON lines, UTF-8. A score that is no number becomes null."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def decode(data: bytes, source: str = "the table") -> list[Row]:
    """Rows from JSON lines; raises `UsageError` naming `source` and the line that is none."""
    found = []
    decoder = msgspec.json.Decoder(Row)
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                found.append(decoder.decode(line))
            except msgspec.DecodeError as error:
                raise UsageError(f"{source}, line {number}: no row of a bench: {error}") from None
    return found


def check_place(path: Path) -> None:
    """Raise `UsageError` where no table can be written to `path`: for another ending, or no folder to write in."""
    _ending(path)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: {'it is a folder' if path.is_dir() else 'there is no such folder'}")


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write a table: Parquet for `.parquet`, JSON lines for `.jsonl`; whoever reads it meanwhile sees the old one or
    the new one. Raises `UsageError` for another ending, where pyarrow is missing, and where it cannot be written."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if _ending(path) == ".jsonl":
            part.write_bytes(encode(rows))
        else:
            parquet = _parquet()
            import pyarrow

            plain = [{**msgspec.to_builtins(row), "factors": msgspec.json.encode(row.factors).decode()} for row in rows]
            parquet.write_table(pyarrow.Table.from_pylist(plain, schema=_schema()), part)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def read_table(path: Path) -> list[Row]:
    """Read a table that `write_table` wrote. Raises `UsageError` for what is none."""
    try:
        if _ending(path) == ".jsonl":
            return decode(path.read_bytes(), str(path))
        parquet = _parquet()
        import pyarrow

        try:
            plain = parquet.read_table(path).to_pylist()
        except pyarrow.ArrowInvalid as error:
            raise UsageError(f"{path} is no Parquet file: {error}") from None
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return [
            msgspec.convert({**row, "factors": msgspec.json.decode(row.get("factors") or "{}")}, Row) for row in plain
        ]
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise UsageError(f"{path} is no table of a bench: {error}") from None


def _ending(path: Path) -> str:
    if path.suffix not in (".parquet", ".jsonl"):
        raise UsageError(f"{path}: a bench's table is a .parquet or a .jsonl file")
    return path.suffix


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UsageError('Parquet needs pyarrow: pip install "gome[parquet]", or name a .jsonl file') from None
    return pyarrow.parquet


def _schema() -> pyarrow.Schema:
    """The columns of `Row`, in its order; written out so that a column of nulls keeps its type."""
    import pyarrow

    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}

    def kind(of: Any) -> Any:
        plain = [k for k in getattr(of, "__args__", (of,)) if k in kinds]
        return kinds[plain[0]] if plain else pyarrow.string()

    point = pyarrow.struct([pyarrow.field(f.name, kind(f.type)) for f in msgspec.structs.fields(Point)])
    own = {"curve": pyarrow.list_(point), "factors": pyarrow.string()}
    return pyarrow.schema(
        [pyarrow.field(f.name, own[f.name] if f.name in own else kind(f.type)) for f in msgspec.structs.fields(Row)]
    )

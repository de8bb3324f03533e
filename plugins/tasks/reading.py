"""Reads a person's table: CSV, TSV, either of them gzipped, Parquet. Every way to fail is one line of `UsageError`.

Delimiters and encodings are found out, types are pandas' own guess; nothing is cleaned here but names and infinities.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gome.kernel.errors import UsageError
from gome.plugins.tasks.tables import SUFFIXES

EXACT: dict[str, Any] = (
    {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
)
"""Options of `read_csv` that give back the very floats that were written; pandas 3.1 does so by itself."""


def read_table(path: Path, what: str = "table", text: str = "") -> pd.DataFrame:
    """Return the table in a file; `what` names its part in messages ("training table"), `text` a column that is to be
    read as text (an id, so that 007 stays 007). Raises `UsageError`."""
    if path.is_dir():
        raise UsageError(f"{what} {path} is a folder, not a table; name the file in it")
    if not path.exists():
        near = sorted(other.name for other in path.parent.glob("*") if other.name.endswith(SUFFIXES))[:3]
        hint = f"in that folder are {', '.join(near)}" if near else "check the path"
        raise UsageError(f"{what} {path} does not exist; {hint}")
    name = path.name.lower()
    if name.endswith((".parquet", ".pq")):
        frame = _parquet(path, what, text)
    elif name.endswith((".xlsx", ".xls", ".json", ".jsonl", ".feather", ".zip", ".pkl", ".pickle")):
        raise UsageError(f"{what} {path} is of a kind that gome does not read; save it as CSV, TSV or Parquet")
    else:
        frame = _delimited(path, what, text)
    frame.columns = pd.Index([str(column).strip() for column in frame.columns])
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise UsageError(f"{what} {path} has two columns named {twice[0]!r}; rename one of them")
    if frame.empty:
        raise UsageError(
            f"{what} {path} has a header but no rows; give a table with data"
            if len(frame.columns)
            else f"{what} {path} is empty; give a table with a header line and data"
        )
    numbers = frame.select_dtypes("float").columns
    frame[numbers] = frame[numbers].replace([np.inf, -np.inf], np.nan)
    return frame


def _parquet(path: Path, what: str, text: str) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise UsageError(
            f"{what} {path} is Parquet, which needs pyarrow; try: pip install 'gome[parquet]' (or give CSV)"
        ) from error
    except Exception as error:  # pyarrow raises many kinds of its own; all mean that the file is no table
        raise UsageError(
            f"{what} {path} cannot be read as Parquet: {_first_line(error)}; write it again or give CSV"
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    if frame.shape[1] == 0 or frame.empty:
        return frame
    # Through text, so that programs, which read CSV, see the same types and the same missing values as we do here.
    return _parsed(frame.to_csv(index=False), ",", text)


def _delimited(path: Path, what: str, text: str) -> pd.DataFrame:
    content = _text(path, what)
    if not content.strip():
        raise UsageError(f"{what} {path} is empty; give a table with a header line and data")
    delimiter = _delimiter(path, content)
    rows = csv.reader(io.StringIO(content), delimiter=delimiter)
    try:
        header = next(rows)
        first = next(rows, None)
    except csv.Error as error:
        raise UsageError(f"{what} {path}, line {rows.line_num}: {error}; check quotes and line ends") from error
    names = [name.strip() for name in header]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise UsageError(f"{what} {path}, line 1: two columns are named {twice[0]!r}; rename one of them")
    if first is not None and len(first) > len(header):
        # pandas would silently take the first column for an index.
        raise UsageError(
            f"{what} {path}, line {rows.line_num}: {len(first)} fields, but the header names {len(header)} columns; "
            f"complete the header or quote fields that contain {_spoken(delimiter)}"
        )
    if len(header) == 1:
        raise UsageError(
            f"{what} {path}, line 1: only one column, {names[0]!r}; is it delimited by commas, semicolons, tabs or "
            "bars?"
        )
    try:
        return _parsed(content, delimiter, text)
    except pd.errors.ParserError as error:
        raise UsageError(f"{what} {path}{_parse_problem(error, delimiter)}") from error


def _parsed(content: str, delimiter: str, text: str) -> pd.DataFrame:
    types = {text: str} if text else None
    frame: pd.DataFrame = pd.read_csv(io.StringIO(content), sep=delimiter, dtype=types, low_memory=False, **EXACT)
    return frame


def _text(path: Path, what: str) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or _first_line(error)
        raise UsageError(f"{what} {path} cannot be read: {reason}; check the file and its permissions") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{what} {path}, line {line}: not UTF-8 text (byte 0x{data[error.start]:02x}); save the table as UTF-8"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UsageError(f"{what} {path}, line {line}: a NUL character, this is no text table; save it as CSV")
    return text


def _delimiter(path: Path, text: str) -> str:
    if ".tsv" in path.name.lower():
        return "\t"
    header = text.split("\n", 1)[0]
    counts = {mark: header.count(mark) for mark in (",", ";", "\t", "|")}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else ","


def _parse_problem(error: Exception, delimiter: str) -> str:
    message = _first_line(error)
    if found := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message):
        wanted, line, seen = found.groups()
        return (
            f", line {line}: {seen} fields where the header has {wanted}; "
            f"quote fields that contain {_spoken(delimiter)}"
        )
    if found := re.search(r"starting at row (\d+)", message):
        return f", line {int(found[1]) + 1}: a quoted field is never closed; add the missing quote"
    return f" cannot be read: {message}; check quotes and delimiters"


def _spoken(delimiter: str) -> str:
    return {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}[delimiter]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")

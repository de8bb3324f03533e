"""Text for people, JSON lines for machines: how verbs print. Results go to stdout, progress and remarks to stderr.

On a terminal tables are rich's; elsewhere they are plain aligned columns, which `grep` and `awk` read, without colour.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec


def emit(value: Any) -> None:
    """Print one value as a line of JSON, at once."""
    print(msgspec.json.encode(value).decode(), flush=True)


def say(text: str) -> None:
    """Print a remark for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def coloured() -> bool:
    """Whether stdout is a terminal that wants colour."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Iterable[str] = ()) -> None:
    """Print a table. Cells are shown with `cell`; columns named in `right` are aligned to the right."""
    cells = [[cell(value) for value in row] for row in rows]
    numeric = set(right)
    if sys.stdout.isatty():
        _rich(columns, cells, numeric)
        return
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    for row in [list(columns), *cells]:
        parts = [t.rjust(w) if c in numeric else t.ljust(w) for c, t, w in zip(columns, row, widths, strict=True)]
        print("  ".join(parts).rstrip())


def _rich(columns: Sequence[str], cells: list[list[str]], right: set[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        shown.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in cells:
        shown.add_row(*(Text(text) for text in row))
    Console(no_color=not coloured(), highlight=False).print(shown)


def cell(value: Any) -> str:
    """A value as a table shows it: floats to five digits, nothing as a dash."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.5g}" if abs(value) < 1e-3 and value else f"{value:.5f}".rstrip("0").rstrip(".")
    return " ".join(str(value).split())


def duration(seconds: float) -> str:
    """Seconds as people say them: `8 s`, `3 m 05 s`, `2 h 10 m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def moment(ts: float) -> str:
    """A time in the local zone, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(ts)) if ts else ""

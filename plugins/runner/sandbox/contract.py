"""Parses the two small files in which a program speaks of itself, and refuses what does not have their shape. Pure.

`scores.csv` has one row per model or fold and one called `ensemble`, and one column, called like the metric; its
numbers are the program's claim, which the scorer compares with its own. `diagnostics.json` is an object
(`gome.events.diagnostics`). What is refused here is as if it had not been written.
"""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import msgspec

MAX_SCORES = 256 << 10
MAX_ROWS = 10_000
MAX_DEPTH = 32
SAID = 120
"""Characters at most that a complaint quotes of a file."""


def read_scores(data: bytes, metric: str) -> dict[str, float]:
    """Parse `scores.csv`: name → score, with the row `ensemble`. Raises ValueError for anything else."""
    try:
        rows = [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) if row]
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"it is no table ({error})") from None
    if len(rows) > MAX_ROWS:
        raise ValueError(f"it has {len(rows)} rows, more than {MAX_ROWS}")
    if not rows or len(rows[0]) != 2 or rows[0][1].strip().lower() != metric.lower():
        raise ValueError(f"its header is {_short(','.join(rows[0]) if rows else '')}, not a name and {metric!r}")
    found: dict[str, float] = {}
    for row in rows[1:]:
        if len(row) != 2:
            raise ValueError(f"the row {_short(','.join(row))} has {len(row)} cells, not 2")
        name = row[0].strip()
        if name in found:
            raise ValueError(f"the row {_short(name)} is there twice")
        found[name] = _finite(name, row[1])
    if "ensemble" not in found:
        raise ValueError("the row 'ensemble' is missing")
    return found


def _finite(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"the score of {_short(name)} is {_short(text)}, no finite number")
    return value


def read_diagnostics(data: bytes) -> dict[str, Any]:
    """Parse diagnostics: a JSON object; NaN and infinities become null. Raises ValueError for anything else, and for
    what an event could not carry."""
    try:
        value = json.loads(data, parse_constant=lambda _: None, parse_float=_number, parse_int=_whole)
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
        if _depth(value) > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
        msgspec.json.encode(value)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except UnicodeEncodeError:
        raise ValueError("it holds half a surrogate pair, which is no text") from None
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**64:
        raise ValueError(f"it holds the whole number {_short(text)}, which takes more than 64 bits")
    return int(text)


def _number(text: str) -> float | None:
    value = float(text)  # 1e999 is infinite, though no constant says so
    return value if math.isfinite(value) else None


def _depth(value: Any) -> int:
    """How deep lists and objects are nested, looked at level by level."""
    depth, level = 0, [value]
    while level := [v for v in level if isinstance(v, dict | list)]:
        depth += 1
        level = [part for whole in level for part in (whole.values() if isinstance(whole, dict) else whole)]
    return depth


def _short(text: str) -> str:
    return repr(text if len(text) <= SAID else text[:SAID] + "…")

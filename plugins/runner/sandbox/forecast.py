"""How long a full execution will take, from the debug one of the same program. Pure; for the decider and the record."""

from __future__ import annotations

from typing import Any

STARTUP = 2.0
"""Seconds of an execution that do not grow with its rows: the interpreter and the imports of libraries."""
WARM_STARTUP = 0.1
"""The same of one that was forked with its libraries."""


def full_seconds(seconds: float, sampled: int, rows: int, diagnostics: dict[str, Any], *, warm: bool = False) -> float:
    """Expected wall seconds on `rows` training rows of a program that took `seconds` on `sampled` of them, started
    `warm` or cold; 0 when it was given all of them, which forecasts nothing.

    Time is taken to grow with the rows, and with the share of training that the program says (`debug_share` in its
    diagnostics, in (0, 1]) it did in debug mode.
    """
    if not sampled:
        return 0.0
    share = diagnostics.get("debug_share", 1.0)
    if not isinstance(share, int | float) or not 0 < share <= 1:
        share = 1.0
    startup = WARM_STARTUP if warm else STARTUP
    return startup + max(0.0, seconds - startup) * rows / sampled / float(share)

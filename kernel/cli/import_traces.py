"""`gome import` for traces files: progress on stderr, the report on stdout, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gome.kernel.cli.opening import complete, opened
from gome.kernel.cli.output import emit, say

if TYPE_CHECKING:
    from gome.kernel.importing import Report


def import_traces(files: Sequence[Path], nats: str = "", as_json: bool = False) -> int:
    """Import traces files one after the other, print a report for each, and return the exit code: 1 where one was
    damaged."""

    async def work() -> bool:
        from gome.kernel.importing.sources import take_in

        whole = True
        async with opened(nats) as connection:
            for file in files:
                report = await take_in(connection, file, progress=_show if sys.stderr.isatty() else None)
                if sys.stderr.isatty():
                    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
                _print(report, as_json)
                whole = whole and report.ok
        return whole

    return 0 if complete(work) else 1


def _show(name: str, done: int, size: int) -> None:
    width = os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 80
    text = f"{done / size:4.0%}  {done / 1e6:,.0f} of {size / 1e6:,.0f} MB  {name}"
    print(f"\r\x1b[K{text[: width - 1]}", end="", file=sys.stderr, flush=True)


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        emit(report.plain())
    else:
        for line in report.lines():
            print(line)
        if runs := [c.run for c in report.competitions if c.run]:
            print(f"  gome show {runs[0]}   shows the first of them;  gome report traces  compares them all")
    for damage in report.damage:
        say(f"gome: {report.file}: {damage}")

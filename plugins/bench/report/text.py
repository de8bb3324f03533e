"""A report for a terminal, or for a pipe: sentences first, then the tables."""

from __future__ import annotations

import os
import sys
from typing import IO

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from gome.plugins.bench.report.build import BenchReport
from gome.plugins.bench.report.tables import Table, opening, tables

PLAIN = 400
"""Columns of a line that no terminal breaks."""


def show(report: BenchReport, *, full: bool = False, file: IO[str] | None = None) -> None:
    """Print a report; with `full` the details too."""
    file = file or sys.stdout
    terminal = file.isatty()
    console = Console(
        file=file, width=None if terminal else PLAIN, no_color="NO_COLOR" in os.environ, highlight=False, markup=False
    )
    for warning in report.warnings:
        console.print(Text(f"! {warning}", style="bold"))
    for part in report.parts:
        console.print(Text(f"{part.name} tasks" if part.name != "all" else "all tasks", style="bold underline"))
        for sentence in part.findings:
            console.print(Text(f"- {sentence}"))
        console.print()
        for table in tables(part):
            _print(console, table, full)
    for table in opening(report):
        _print(console, table, full)


def _print(console: Console, table: Table, full: bool) -> None:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for at, name in enumerate(table.columns):
        grid.add_column(Text(name), justify="left" if at < table.left else "right", overflow="fold")
    for row in (*table.rows, *(table.detail if full else ())):
        grid.add_row(*(Text(" ".join(cell.split())) for cell in row))
    console.print(Text(table.title, style="bold"))
    console.print(grid)
    if table.detail and not full:
        console.print(Text(f"({len(table.detail)} more lines with --full, --html or --json)", style="dim"))
    for line in filter(None, (table.about, table.rests)):
        console.print(Text(line, style="dim"))
    console.print()

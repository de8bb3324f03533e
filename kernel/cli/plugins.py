"""`gome plugins`: what is installed, what it reads, and why something does not load."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import click

from gome.kernel.cli.opening import json_option
from gome.kernel.cli.output import cell, emit, table
from gome.kernel.discovery import Found, discover
from gome.kernel.plugin import GROUPS


@dataclass(frozen=True)
class Row:
    """One entry point as it is listed."""

    role: str
    name: str
    default: bool
    source: str
    version: str
    target: str
    summary: str
    reads: list[str]
    performs: list[str]
    needs: list[str]
    settings: str
    commands: list[str]
    reports: list[str]
    error: str


def listing() -> list[Row]:
    """Every entry point of every role, plugins first, then task sources."""
    return [*(_plugin(found) for found in discover()), *_task_sources()]


def _plugin(found: Found) -> Row:
    p = found.plugin
    return Row(
        role=found.role,
        name=found.name,
        default=bool(p and p.default),
        source=found.distribution,
        version=found.version,
        target=found.target,
        summary=p.summary if p else "",
        reads=[kind.__name__ for kind in p.reads] if p else [],
        performs=[effect.intent.__name__ for effect in p.effects] if p else [],
        needs=list(p.needs) if p else [],
        settings=p.settings.__name__ if p and p.settings else "",
        commands=[command.name or "" for command in p.commands] if p else [],
        reports=[report.command.name or "" for report in p.reports] if p else [],
        error=found.error,
    )


def _task_sources() -> list[Row]:
    rows = []
    for entry in sorted(entry_points(group=GROUPS["task"]), key=lambda e: e.name):
        summary, error = "", ""
        try:
            summary = str(entry.load().summary)
        except Exception as caught:  # like a plugin's, a stranger's source may fail in any way when it is imported
            error = f"{type(caught).__name__}: {caught}"
        dist = entry.dist
        about = (dist.name, dist.version) if dist else ("", "")
        rows.append(Row("task", entry.name, False, *about, entry.value, summary, [], [], [], "", [], [], error))
    return rows


@click.command("plugins")
@click.argument("name", required=False, default="")
@json_option
def plugins(name: str, as_json: bool) -> None:
    """List plugins, what they read, and what fails to load; with NAME, everything about one.

    GOME_LOAD_PLUGINS=a,b loads these only, which finds a culprit."""
    found = [row for row in listing() if not name or row.name == name]
    if name and not found:
        raise click.UsageError(f"there is no plugin {name!r}")
    if as_json:
        for row in found:
            emit(row)
    elif name:
        for row in found:
            _whole(row)
    else:
        _table(found)


def _table(found: list[Row]) -> None:
    columns = ("role", "name", "from", "what it does")
    rows = [
        (r.role, r.name + (" *" if r.default else ""), f"{r.source} {r.version}", r.summary)
        for r in found
        if not r.error
    ]
    table(columns, rows)
    print("\n* the one that its role takes when none is named; `gome plugins NAME` says what one reads")
    for row in found:
        if row.error:
            print(f"\n{row.role} {row.name} ({row.target}, from {cell(row.source)}) does not load: {row.error}")


def _whole(row: Row) -> None:
    facts: dict[str, Any] = {
        "role": row.role + (", the default" if row.default else ""),
        "from": f"{row.source} {row.version}, {row.target}",
        "does": row.summary,
        "reads": ", ".join(row.reads),
        "performs": ", ".join(row.performs),
        "needs": ", ".join(row.needs),
        "settings": f"[{row.name}] {row.settings}" if row.settings else "",
        "commands": ", ".join(f"gome {command}" for command in row.commands),
        "reports": ", ".join(f"gome report {report}" for report in row.reports),
        "error": row.error,
    }
    print(row.name)
    for key, value in facts.items():
        if value:
            print(f"  {key:9} {value}")

"""The published leaderboard of MLE-bench as data, our own row from grading reports, and the table of both.

`gome report --mle-bench [REPORT.json…]` is the command. Published rows are shares of competitions with any medal, mean
± standard error over seeds, as the benchmark's README printed them; nothing is recomputed about them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

import click
import msgspec

from gome.kernel.errors import UsageError
from gome.plugins.tasks.mlebench.competitions import split
from gome.plugins.tasks.mlebench.reports import aggregate, read

Part = Literal["all", "low", "medium", "high"]
PARTS: tuple[Part, ...] = ("low", "medium", "high", "all")
WIDEST = 34
"""Characters of the models' names that the table shows."""


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row: percentages (None: not measured) with their standard errors, the time each competition had, the machine.

    `board` is the date of the leaderboard it was on, `later` for one that came after, "" for ours. `padded` says that
    missing runs count as failures, `declared_leakage` that the authors say test labels or scores were used.
    """

    agent: str
    llm: str
    hours: float | None
    hardware: str
    low: float | None = None
    low_sem: float | None = None
    medium: float | None = None
    medium_sem: float | None = None
    high: float | None = None
    high_sem: float | None = None
    all: float | None = None
    all_sem: float | None = None
    url: str = ""
    date: str = ""
    declared_leakage: bool = False
    code: bool = False
    padded: bool = False
    board: str = ""
    seeds: int | None = None

    def value(self, part: Part) -> tuple[float, float] | None:
        """Mean and standard error of a part, None where it was not measured."""
        mean: float | None = getattr(self, part)
        return None if mean is None else (mean, getattr(self, f"{part}_sem") or 0.0)


@cache
def published() -> tuple[Row, ...]:
    """Rows of the leaderboard as of 2026-02-26, then four later ones."""
    text = resources.files(__package__).joinpath("leaderboard.json").read_bytes()
    return tuple(msgspec.json.decode(text, type=list[Row]))


def own_row(
    reports: Sequence[Path],
    *,
    agent: str,
    llm: str,
    hours: float | None,
    hardware: str,
    seeds: int = -1,
    pad: bool = False,
) -> Row:
    """Our row: the parts of which every competition was graded (with `pad`: any). `UsageError` when there is none."""
    rows = read(reports)
    graded = {row["competition_id"] for row in rows}
    found: dict[str, float] = {}
    counts = []
    for part in PARTS:
        ids = split("split75" if part == "all" else part)
        if not (graded & set(ids) if pad else graded >= set(ids)):
            continue
        told = aggregate(rows, ids, seeds=seeds, pad=pad)
        any_medal = told["metrics"]["any_medal_percentage"]
        found |= {part: any_medal["mean"], f"{part}_sem": any_medal["standard_error"]}
        counts.append(int(told["num_seeds_averaged"]))
    if not found:
        raise UsageError(
            f"the reports grade {len(graded)} competitions, but no whole split (low has 22, medium 38, high 15); "
            "grade the rest, or count what is missing as failures with --pad-missing"
        )
    return Row(agent=agent, llm=llm, hours=hours, hardware=hardware, padded=pad, seeds=min(counts), **found)  # type: ignore[arg-type]


def ranked(rows: Sequence[Row], by: Part) -> list[Row]:
    """Rows that have a value for `by`, best first, as shown; equals keep their order. Those without one come last."""
    values = {row: row.value(by) for row in rows}
    measured = sorted((r for r in rows if values[r]), key=lambda r: -round((values[r] or (0.0, 0.0))[0], 2))
    return [*measured, *(row for row in rows if not values[row])]


def lines(rows: Sequence[Row], by: Part) -> list[str]:
    """The table as text; ours starts with `>`."""
    head = ["", "#", "agent", "LLM", "Low", "Medium", "High", "All", "h", "hardware", "date", "notes"]
    body, rank = [], 0
    for row in ranked(rows, by):
        rank += row.value(by) is not None
        notes = [
            *(["later"] if row.board == "later" else []),
            *(["declared leakage"] if row.declared_leakage else []),
            *(["code"] if row.code else []),
            *([f"{row.seeds} seed{'' if row.seeds == 1 else 's'}"] if row.seeds else []),
        ]
        body.append(
            [
                "" if row.board else ">",
                str(rank) if row.value(by) is not None else "",
                row.agent,
                row.llm if len(row.llm) <= WIDEST else row.llm[: WIDEST - 1] + "…",
                *(_share(row, part) for part in PARTS),
                "" if row.hours is None else f"{row.hours:g}",
                row.hardware,
                row.date,
                ", ".join(notes),
            ]
        )
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    right = {1, 4, 5, 6, 7, 8}
    return [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [head, *body]
    ]


def _share(row: Row, part: Part) -> str:
    value = row.value(part)
    return "–" if value is None else f"{value[0]:.2f} ± {value[1]:.2f}" + ("‡" if row.padded else "")


@click.command("mle-bench")
@click.argument("reports", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--mle-bench", is_flag=True, hidden=True)
@click.option("--agent", default="gome", metavar="NAME", help="Name of our row.")
@click.option("--llm", default="", metavar="NAME", help="Models of our row.")
@click.option("--hours", type=float, metavar="H", help="Hours that each competition had.")
@click.option("--hardware", default="not stated", metavar="TEXT", help='Machine of our row, e.g. "16 vCPU, 1×H100".')
@click.option("--by", type=click.Choice(PARTS), help="Column that ranks (default: all, or the first that we have).")
@click.option("--num-seeds", type=click.IntRange(1), metavar="K", help="Use the first K seeds only.")
@click.option("--pad-missing", is_flag=True, help="Count runs that are missing as failures.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def report(
    reports: tuple[Path, ...],
    mle_bench: bool,
    agent: str,
    llm: str,
    hours: float | None,
    hardware: str,
    by: Part | None,
    num_seeds: int | None,
    pad_missing: bool,
    as_json: bool,
) -> None:
    """The leaderboard of MLE-bench, with our row from grading reports (REPORT.json…) in its place.

    Any medal in % of competitions, mean ± standard error over seeds. ‡: missing runs count as failures. Medals compare
    a new split of public data with Kaggle's private leaderboard, so they are only about as hard as a person's.
    """
    rows = list(published())
    if reports:
        seeds = -1 if num_seeds is None else num_seeds
        ours = own_row(reports, agent=agent, llm=llm, hours=hours, hardware=hardware, seeds=seeds, pad=pad_missing)
        rows.append(ours)
        by = by or next(part for part in ("all", *PARTS) if ours.value(part) is not None)
    if as_json:
        for row in ranked(rows, by or "all"):
            click.echo(json.dumps(msgspec.to_builtins(row), ensure_ascii=False))
        return
    for line in lines(rows, by or "all"):
        click.echo(line)

"""`gome report BENCH`: parses, builds a report, and shows it in the forms that were asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from gome.kernel.errors import UsageError
from gome.kernel.plugin import Report

SUBJECT = re.compile(r".+\.(parquet|jsonl|gome)|.+\.gome:[A-Za-z0-9_-]+|[A-Za-z0-9_][A-Za-z0-9_-]{0,119}", re.DOTALL)
"""Files of benches, and whatever may be the id of a run."""
PICTURES = ("standing", "crossover", "differences", "wins", "anytime", "curves", "heat", "effects", "selection")
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("bench")
@click.argument("subjects", nargs=-1, required=True, metavar="BENCH|ARCHIVE.gome|TABLE…")
@click.option("--html", type=FILE, metavar="FILE", help="Write everything as one page, pictures included.")
@click.option("--plot", type=FILE, metavar="FILE", help="Draw one picture: .png, .svg or .pdf.")
@click.option("--picture", type=click.Choice(PICTURES), help="Which (default crossover, else standing).")
@click.option("--part", type=click.Choice(["dev", "held-out", "all"]), help="Draw these tasks (default the first).")
@click.option("--full", is_flag=True, help="Print the details of long tables too.")
@click.option("--nats", default="", metavar="URL", help="Use this NATS server instead of the embedded one.")
@click.option("--json", "as_json", is_flag=True, help="Everything as one line of JSON, in full precision.")
def bench(
    subjects: tuple[str, ...],
    html: Path | None,
    plot: Path | None,
    picture: str | None,
    part: str | None,
    full: bool,
    nats: str,
    as_json: bool,
) -> None:
    """Compare the searches of a bench: shares of the way, paired differences, curves, crossover, costs.

    Means come with standard errors and 95 % intervals of a bootstrap over tasks, then splits, then seeds. Several
    benches or tables are taken together. Nothing is executed.
    """
    import anyio

    from gome.plugins.bench.report import look, page
    from gome.plugins.bench.report.build import build
    from gome.plugins.bench.report.reading import gather

    if (picture or part) and plot is None:
        raise UsageError("--picture and --part choose what --plot FILE draws; name a file")
    if plot is not None:
        look.check(plot)
    if html is not None and not html.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {html.absolute().parent} to write {html.name} in")
    rows, left = anyio.run(gather, subjects, nats)
    report = build(rows, left)
    if as_json:
        from gome.kernel.cli.output import emit

        emit(report)
    else:
        from gome.plugins.bench.report.text import show

        show(report, full=full)
    if html is not None:
        page.write(report, html)
        click.echo(f"wrote {html}", err=True)
    if plot is not None:
        from gome.plugins.bench.report.plots import draw

        click.echo(f"drew {draw(report, plot, picture, part)} to {plot}", err=True)


def fits(arguments: Sequence[str]) -> bool:
    """Whether what was typed may be about a bench: a file of one, or an id."""
    return SUBJECT.fullmatch(arguments[0]) is not None


report = Report(bench, fits)

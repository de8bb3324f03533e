"""A report as one page of HTML that needs nothing else: no script, no network, its pictures inline, light or dark.

What comes from a table (names of tasks, searches, runs) is text and stays text: jinja2 escapes it, and pictures are
made by a library that does. Without matplotlib the page has its tables and says what is missing.
"""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

from gome.kernel.errors import UsageError
from gome.plugins.bench.report import look, plots
from gome.plugins.bench.report.build import BenchReport, Part
from gome.plugins.bench.report.tables import opening, tables

HERE = Path(__file__).parent


def page(report: BenchReport) -> str:
    """The whole page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parts = []
    for number, part in enumerate(report.parts, 1):
        pictures = _pictures(part, f"p{number}") if look.drawable() else {}
        found = {t.name: t for t in tables(part)}
        # A picture stands above the table of its name; tables without one, and pictures without a table, stand alone.
        order = [*(p.name for p in plots.PICTURES if p.name in pictures or p.name in found), *found]
        sections = [(name, pictures.get(name), found.get(name)) for name in dict.fromkeys(order)]
        parts.append((part, f"p{number}", sections))
    titles = {p.name: p.title for p in plots.PICTURES}
    return environment.get_template("page.html.j2").render(
        report=report, parts=parts, titles=titles, opening=list(opening(report)), drawn=look.drawable()
    )


def _pictures(part: Part, name: str) -> dict[str, Markup]:
    found = {}
    for picture in plots.PICTURES:
        with look.style(look.PAGE):
            if (figure := picture.draw(part, look.PAGE)) is not None:
                svg = look.inline(figure, f"{name}-{picture.name}", picture.title, picture.text)
                found[picture.name] = Markup(svg)
    return found


def write(report: BenchReport, path: Path) -> None:
    """Write the page. Raises `UsageError` where the file cannot be written."""
    try:
        path.write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error

"""How pictures look: one palette for files, and one for pages that the page's own colours replace, light or dark.

matplotlib is an extra (`gome[plot]`). Text is never read as mathematics, since names of tasks and searches may hold
anything; the same figures give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from gome.kernel.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
WIDTH = 112
"""Most pixels that a page gives an inch of a picture, so that text is of one size in all of them."""
MARKERS = "osD^vPX*"
SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"


@dataclass(frozen=True)
class Look:
    """Colours: text and axes, what is less important, lines behind data, the ground, better and worse, and policies."""

    ink: str
    faint: str
    grid: str
    paper: str
    good: str
    bad: str
    series: tuple[str, ...]

    def colour(self, policies: Sequence[str], policy: str) -> str:
        """A policy's colour, the same in every picture; those that are no policy are faint."""
        return self.series[policies.index(policy) % len(self.series)] if policy in policies else self.faint

    def marker(self, policies: Sequence[str], policy: str) -> str:
        """A policy's marker, so that colour is not all that tells it from others."""
        return MARKERS[policies.index(policy) % len(MARKERS)] if policy in policies else "o"


FILE = Look(
    "#1d1f24",
    "#8a8f98",
    "#e3e5e9",
    "#ffffff",
    "#1f6fd0",
    "#cf4a3c",
    ("#1f6fd0", "#d2691e", "#2a8c6a", "#8a5cc2", "#c2417c", "#8a7a12", "#3a8fa3", "#6d6f75"),
)
PAGE = Look(
    "#010101",
    "#020202",
    "#030303",
    "#040404",
    "#050505",
    "#060606",
    tuple(f"#0a0a{n:02x}" for n in range(1, 9)),
)
"""Colours that nobody would choose; `inline` puts the page's in their place."""
NAMES = {
    PAGE.ink: "var(--ink)",
    PAGE.faint: "var(--faint)",
    PAGE.grid: "var(--grid)",
    PAGE.paper: "var(--paper)",
    PAGE.good: "var(--good)",
    PAGE.bad: "var(--bad)",
    **{colour: f"var(--s{n})" for n, colour in enumerate(PAGE.series, 1)},
}


def check(path: Path) -> None:
    """Raise `UsageError` when a picture of this name cannot be drawn here, before anything is computed."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path} names no kind of picture; end it in {', '.join(FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {path.absolute().parent} to draw {path.name} in")
    if not drawable():
        raise UsageError('pictures need matplotlib: pip install "gome[plot]", or leave out --plot')


def drawable() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


@contextmanager
def style(look: Look) -> Iterator[None]:
    """matplotlib's settings for the length of the block: quiet axes, the look's colours, no mathematics."""
    import matplotlib

    quiet: dict[Any, Any] = {
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "gome",
        "font.size": 9.5,
        "text.color": look.ink,
        "axes.labelcolor": look.ink,
        "axes.edgecolor": look.faint,
        "axes.titlecolor": look.ink,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.facecolor": "none",
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": look.grid,
        "grid.linewidth": 0.8,
        "xtick.color": look.faint,
        "ytick.color": look.faint,
        "xtick.labelcolor": look.ink,
        "ytick.labelcolor": look.ink,
        "ytick.major.size": 0,
        "legend.frameon": False,
        "figure.facecolor": look.paper if look is FILE else "none",
        "savefig.facecolor": look.paper if look is FILE else "none",
        "savefig.dpi": 160,
    }
    with matplotlib.rc_context(quiet):
        yield


def bare(axes: Axes, *, grid: str = "x") -> None:
    """Take an axes' left line away and keep the grid of one direction only."""
    axes.spines["left"].set_visible(False)
    axes.grid(False, axis="y" if grid == "x" else "x")


def save(figure: Figure, path: Path) -> None:
    """Write a picture. Raises `UsageError` where the file cannot be written."""
    undated: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})
    try:
        figure.savefig(path, metadata=undated)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def inline(figure: Figure, name: str, title: str, description: str) -> str:
    """A figure as SVG to be put into a page: coloured by its style sheet, labelled for who cannot see it, and without
    a reference to anything outside. `name` keeps its ids apart from those of other figures of the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for gone in root.findall(f"{SVG}metadata"):
        root.remove(gone)
    for element in root.iter():
        _own(element, name)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-text")
    for given in ("width", "height"):
        root.attrib.pop(given, None)
    root.set("style", f"max-width: {WIDTH * figure.get_figwidth():.0f}px")
    for tag, text in (("desc", description), ("title", title)):
        told = ElementTree.Element(tag, {"id": f"{name}-{'text' if tag == 'desc' else tag}"})
        told.text = text
        root.insert(0, told)
    return ElementTree.tostring(root, encoding="unicode")


def _own(element: ElementTree.Element, name: str) -> None:
    """Take an element's namespaces away, put the figure's name before its ids, and the page's colours into it."""
    element.tag = element.tag.removeprefix(SVG)
    for key, value in list(element.attrib.items()):
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif key == LINK:
            del element.attrib[key]
            element.set("href", value.replace("#", f"#{name}-"))
        else:
            element.set(key, _coloured(value.replace("url(#", f"url(#{name}-")))


def _coloured(value: str) -> str:
    for colour, variable in NAMES.items():
        value = value.replace(colour, variable)
    return value

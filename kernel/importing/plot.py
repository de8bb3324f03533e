"""The figures of imported traces as a picture: medals by rule, improvement rate beside the paper's, gains by component.

matplotlib is an extra (`gome[plot]`) and this module its only home; without a display it draws to a file all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from gome.kernel.errors import UsageError
from gome.kernel.importing.figures import PAPER, RULES, Rate, TraceFigures

FORMATS = (".png", ".svg", ".pdf")


def check(path: Path) -> None:
    """Raise `UsageError` when a picture of this name cannot be drawn here, before anything is computed."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path} names no kind of picture; end it in {', '.join(FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {path.absolute().parent} to draw {path.name} in")
    if find_spec("matplotlib") is None:
        raise UsageError('pictures need matplotlib: pip install "gome[plot]", or leave out --plot')


def draw(found: Sequence[TraceFigures], path: Path) -> None:
    """Draw the figures and write the file. Shares are percentages, whiskers 95 % intervals."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(13, 4.2), layout="constrained")
    medals, improved, parts = picture.subplots(1, 3)
    names = [f.trace for f in found]
    width = 0.8 / len(RULES)
    for number, rule in enumerate(RULES):
        at = [x + (number - 1) * width for x in range(len(found))]
        _bars(medals, at, [f.medals[rule] for f in found], width, rule)
    medals.set_xticks(range(len(found)), names)
    medals.set_title("competitions with a medal, %")
    medals.legend(fontsize="small")
    _bars(improved, list(range(len(found))), [f.improvement for f in found], 0.6, "")
    for number, (name, value) in enumerate(PAPER.items()):
        improved.axhline(100 * value, linestyle=("--", ":")[number % 2], color="0.3", label=f"paper: {name}")
    improved.set_xticks(range(len(found)), names)
    improved.set_title("loops that beat the best before, %")
    improved.legend(fontsize="small")
    whole = found[-1]
    components = sorted(whole.components, key=lambda c: -(c.share.share or 0.0))
    _bars(parts, list(range(len(components))), [c.share for c in components], 0.6, "")
    parts.set_xticks(range(len(components)), [c.name for c in components], rotation=30, ha="right")
    parts.set_title(f"share of accepted gain, % ({whole.trace})")
    try:
        picture.savefig(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def _bars(axes: object, at: Sequence[float], rates: Sequence[Rate], width: float, label: str) -> None:
    heights = [100 * (r.share or 0.0) for r in rates]
    low = [h - 100 * r.low if r.share is not None else 0.0 for h, r in zip(heights, rates, strict=True)]
    high = [100 * r.high - h if r.share is not None else 0.0 for h, r in zip(heights, rates, strict=True)]
    whiskers = [[max(0.0, x) for x in low], [max(0.0, x) for x in high]]
    axes.bar(at, heights, width, yerr=whiskers, capsize=2, label=label or None)  # type: ignore[attr-defined]

"""The pictures of a report, one function each: a part of it in, a figure out, or None where it has nothing to show.

Policies keep colour and marker throughout; whiskers and bands are 95 % intervals. `look` says how all of them look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gome.kernel.errors import UsageError
from gome.plugins.bench.report import look as looks
from gome.plugins.bench.report.bootstrap import Estimate
from gome.plugins.bench.report.build import BenchReport, Part
from gome.plugins.bench.report.crossover import Slope
from gome.plugins.bench.report.look import Look, bare

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WAY = "share of the way from default LightGBM (0) to best known (1)"
ROW = 0.3
"""Height of a line of a picture in inches."""
BANDS = 4
"""Most policies whose curves have bands; of more only the reference has one."""
LONGEST = 44
"""Letters of the longest name."""
EVERY = 40
"""Steps of a curve between two of its markers."""
UNITS = {
    "seconds": "seconds",
    "executions": "executed programs",
    "completions": "calls of a model",
    "tokens": "tokens",
    "money": "US dollars",
}


class Picture(NamedTuple):
    """A picture with its title, and what it shows in words for who cannot see it."""

    name: str
    title: str
    draw: Callable[[Part, Look], Figure | None]
    text: str


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _whisker(axes: Axes, y: float, e: Estimate, colour: str, marker: str, *, open: bool = False) -> None:
    if e.mean is None:
        return
    if e.low is not None and e.high is not None:
        axes.plot([e.low, e.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="round", alpha=0.55)
    axes.plot([e.mean], [y], marker, color=colour, markersize=7, markerfacecolor="none" if open else colour)


def _beside(axes: Axes, y: float, text: str) -> None:
    """Print a line's figures at its right."""
    where = ("axes fraction", "data")
    axes.annotate(text, (1.0, y), (10, 0), where, "offset points", va="center_baseline", fontsize=8.5)


def _cut(name: str, longest: int = LONGEST) -> str:
    """A name that leaves room for the picture; tables have the whole one."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _lines(axes: Axes, labels: Sequence[str]) -> None:
    """Name the lines of a picture from the top down."""
    axes.set_yticks(range(len(labels)), [_cut(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    bare(axes)


def standing(part: Part, look: Look) -> Figure | None:
    """Mean share of every arm, a faint dot for each task."""
    known = [s for s in part.standings if s.share.mean is not None]
    if not known:
        return None
    figure = _figure(8.4, 1.0 + ROW * len(known))
    axes = figure.subplots()
    for y, s in enumerate(known):
        colour, marker = (of(part.policies, s.policy) for of in (look.colour, look.marker))
        axes.scatter(list(s.by_task.values()), [y] * len(s.by_task), s=16, color=colour, alpha=0.3, linewidths=0)
        _whisker(axes, y, s.share, colour, marker)
        error = f" ± {s.share.sem:.2f}" if s.share.sem is not None else ""
        failed = f", {s.failed} failed" if s.failed else ""
        _beside(axes, y, f"{s.share.mean:.2f}{error}{failed}")
    for at in (0.0, 1.0):
        axes.axvline(at, color=look.faint, linewidth=1.0, linestyle=(0, (4, 3)))
    _lines(axes, [s.arm for s in known])
    axes.set_xlabel(WAY + "; faint: single tasks")
    return figure


def heat(part: Part, look: Look) -> Figure | None:
    """Mean share of every arm on every task."""
    known = [s for s in part.standings if s.by_task]
    tasks = sorted({task for s in known for task in s.by_task})
    if not known or len(tasks) < 2:
        return None
    from matplotlib.patches import Rectangle

    figure = _figure(max(5.0, 2.4 + 0.72 * len(tasks)), 1.1 + ROW * len(known))
    axes = figure.subplots()
    for y, s in enumerate(known):
        for x, task in enumerate(tasks):
            if (share := s.by_task.get(task)) is None:
                continue
            colour, strength = (look.good if share >= 0 else look.bad), 0.08 + 0.62 * min(1.0, abs(share))
            axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=colour, alpha=strength, linewidth=0))
            axes.text(x, y, f"{share:.2f}", ha="center", va="center", fontsize=8)
    _lines(axes, [s.arm for s in known])
    axes.set_xticks(
        range(len(tasks)), [_cut(t, LONGEST // 2) for t in tasks], rotation=35, ha="left", rotation_mode="anchor"
    )
    axes.xaxis.tick_top()
    axes.set_xlim(-0.6, len(tasks) - 0.4)
    axes.tick_params(length=0)
    axes.grid(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_visible(False)
    return figure


def differences(part: Part, look: Look) -> Figure | None:
    """The reference policy minus every other one, with how many blocks it won, tied and lost."""
    known = [p for p in part.paired if p.one == part.policies[0] and p.difference.mean is not None]
    if not known:
        return None
    figure = _figure(8.4, 1.1 + ROW * len(known))
    axes, score = figure.subplots(1, 2, width_ratios=(3.2, 1), sharey=True)
    for y, p in enumerate(known):
        colour, marker = look.colour(part.policies, p.other), look.marker(part.policies, p.other)
        axes.scatter(list(p.by_task.values()), [y] * len(p.by_task), s=16, color=colour, alpha=0.3, linewidths=0)
        _whisker(axes, y, p.difference, colour, marker, open=bool(p.context))
        left = 0.0
        for count, shade in ((p.wins, look.good), (p.ties, look.faint), (p.losses, look.bad)):
            score.barh(y, count / p.blocks, left=left, color=shade, alpha=0.7, height=0.62, linewidth=0)
            if count:
                score.text(left + count / p.blocks / 2, y, str(count), ha="center", va="center", fontsize=8)
            left += count / p.blocks
    axes.axvline(0, color=look.ink, linewidth=1)
    _lines(axes, [f"− {p.other}" + (f" · {p.context}" if p.context else "") for p in known])
    axes.set_xlabel(
        f"{_cut(part.policies[0])} minus other, share of the way (right of 0: {_cut(part.policies[0])} ahead)"
    )
    bare(score)
    score.grid(False)
    score.set_xlim(0, 1)
    score.set_xticks([])
    score.spines["bottom"].set_visible(False)
    score.set_xlabel("blocks won, tied, lost")
    return figure


def wins(part: Part, look: Look) -> Figure | None:
    """Who wins against whom how often, over all contexts."""
    rates = {(p.one, p.other): p.win_rate.mean for p in part.paired if not p.context and p.win_rate.mean is not None}
    rates |= {(other, one): 1 - rate for (one, other), rate in rates.items()}
    if len(part.policies) < 3 or not rates:
        return None
    from matplotlib.patches import Rectangle

    count = len(part.policies)
    figure = _figure(3.0 + 0.72 * count, 1.3 + 0.42 * count)
    axes = figure.subplots()
    for (one, other), rate in rates.items():
        x, y = part.policies.index(other), part.policies.index(one)
        colour, strength = (look.good if rate >= 0.5 else look.bad), 0.05 + 1.3 * abs(rate - 0.5)
        axes.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, color=colour, alpha=strength, linewidth=0))
        axes.text(x, y, f"{100 * rate:.0f}", ha="center", va="center", fontsize=8.5)
    _lines(axes, list(part.policies))
    axes.set_xlim(-0.6, count - 0.4)
    axes.set_xticks(
        range(count), [_cut(p, LONGEST // 2) for p in part.policies], rotation=35, ha="left", rotation_mode="anchor"
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("% of blocks that the row wins (a tie is half a win)")
    return figure


def anytime(part: Part, look: Look) -> Figure | None:
    """Mean share of the best so far against every currency that was used."""
    currencies = list(dict.fromkeys(c.currency for c in part.anytime))
    if not currencies:
        return None
    figure = _figure(max(5.4, 3.9 * len(currencies)), 3.7)
    panels = figure.subplots(1, len(currencies), sharey=True, squeeze=False)[0]
    for axes, currency in zip(panels, currencies, strict=True):
        for c in (c for c in part.anytime if c.currency == currency):
            colour = look.colour(part.policies, c.policy)
            low, high = ([b for b in bound if b is not None] for bound in (c.low, c.high))
            # Bands of many policies would hide each other; their tables have all intervals.
            if len(low) == len(c.spent) and (len(part.policies) <= BANDS or c.policy == part.policies[0]):
                axes.fill_between(c.spent, low, high, color=colour, alpha=0.1, linewidth=0, step="post")
            marker = look.marker(part.policies, c.policy)
            axes.plot(c.spent, c.mean, color=colour, linewidth=2, drawstyle="steps-post")
            # The markers are spread, so that none hides another.
            first = EVERY // 4 + part.policies.index(c.policy) * EVERY // (4 * len(part.policies))
            every = range(first, len(c.spent), EVERY)
            axes.plot(c.spent, c.mean, marker, color=colour, markevery=list(every), markersize=5.5)
            axes.plot([], [], color=colour, linewidth=2, marker=marker, markersize=5.5, label=_cut(c.policy))
        axes.axhline(0, color=look.faint, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel(f"{UNITS[currency]} spent")
        axes.margins(x=0.01)
    panels[0].set_ylabel("share of the way, best so far")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)))
    return figure


def curves(part: Part, look: Look) -> Figure | None:
    """Best validation score (dashed) and its hidden score (full) task by task, against the first currency used."""
    tasks = list(dict.fromkeys(c.task for c in part.curves))
    if not tasks:
        return None
    wide = min(3, len(tasks))
    high = -(-len(tasks) // wide)
    figure = _figure(max(5.4, 3.4 * wide), 0.5 + 2.7 * high)
    panels = list(figure.subplots(high, wide, squeeze=False).flat)
    for axes in panels[len(tasks) :]:
        axes.set_axis_off()
    for axes, task in zip(panels, tasks, strict=False):
        there = [c for c in part.curves if c.task == task]
        for c in (c for c in there if c.currency == there[0].currency):
            colour = look.colour(part.policies, c.policy)
            validation, hidden = ([math.nan if v is None else v for v in values] for values in (c.validation, c.hidden))
            axes.plot(c.spent, validation, color=colour, linewidth=1.3, linestyle=(0, (3, 2)), drawstyle="steps-post")
            axes.plot(c.spent, hidden, color=colour, linewidth=2, drawstyle="steps-post")
        baselines = [s.baseline for s in part.scales if s.task == task and s.baseline is not None]
        if baselines:
            axes.axhline(sum(baselines) / len(baselines), color=look.faint, linewidth=1, linestyle=(0, (1, 2)))
        axes.set_title(f"{_cut(task)} ({there[0].metric} {'↑' if there[0].greater_is_better else '↓'})")
        axes.set_xlabel(UNITS[there[0].currency])
    for policy in dict.fromkeys(c.policy for c in part.curves):
        figure.axes[0].plot([], [], color=look.colour(part.policies, policy), linewidth=2, label=_cut(policy))
    styles = (("hidden", "-"), ("validation", (0, (3, 2))), ("default LightGBM, hidden", (0, (1, 2))))
    for label, line in styles:
        figure.axes[0].plot([], [], color=look.faint, linewidth=1.5, linestyle=line, label=label)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, fontsize=8.5)
    return figure


def selection(part: Part, look: Look) -> Figure | None:
    """What every arm handed in, and the best that its runs had."""
    known = [s for s in part.selection if s.loss.mean is not None and s.best_share.mean is not None]
    known.sort(key=lambda s: -(s.best_share.mean or 0.0))
    if not known:
        return None
    figure = _figure(8.4, 1.0 + ROW * len(known))
    axes = figure.subplots()
    for y, s in enumerate(known):
        best, lost = s.best_share.mean or 0.0, s.loss.mean or 0.0
        colour = look.colour(part.policies, s.policy)
        axes.plot([best - lost, best], [y, y], color=colour, linewidth=3, alpha=0.45, solid_capstyle="butt")
        axes.plot([best], [y], "o", color=colour, markersize=7, markerfacecolor="none")
        axes.plot([best - lost], [y], "o", color=colour, markersize=7)
        _beside(axes, y, f"−{lost:.3f}" if lost >= 0.0005 else "0")
    _lines(axes, [s.arm for s in known])
    axes.set_xlabel("share of the way: handed in (full) and the best attempt of the same run (open)")
    return figure


def crossing(part: Part, look: Look) -> Figure | None:
    """Shares, and the lead of the reference policy, over the measured quality of the reasoner."""
    levels = part.crossover.levels
    if len(levels) < 2 or not part.crossover.slopes:
        return None
    figure = _figure(10.6, 4.5)
    shares, leads = figure.subplots(1, 2)
    knots = [level.quality.mean or 0.0 for level in levels]
    for policy in part.policies:
        found = [(q, v.shares[policy]) for q, v in zip(knots, levels, strict=True) if policy in v.shares]
        _dots(shares, found, look.colour(part.policies, policy), look.marker(part.policies, policy), _cut(policy), "-")
    for slope in part.crossover.slopes:
        _lead(leads, part, look, slope)
    for axes in (shares, leads):
        axes.margins(y=0.12)
    leads.axhline(0, color=look.ink, linewidth=1)
    shares.set_ylabel("share of the way")
    shares.set_title("how far each came")
    leads.set_title(f"lead of {_cut(part.policies[0])}")
    for axes in (shares, leads):
        axes.set_xlabel("measured quality of the reasoner")
        _knobs(axes, knots, [level.context for level in levels], look)
    known = [axes.get_legend_handles_labels() for axes in (shares, leads)]
    # In the right panel policies have the markers of the left one; only a mean of several is new there.
    handles, labels = ([*first, *second] for first, second in zip(*known, strict=True))
    figure.legend(handles, labels, loc="outside upper left", ncols=min(5, len(labels)), fontsize=8.5)
    return figure


def _lead(axes: Axes, part: Part, look: Look, slope: Slope) -> None:
    """A policy's paired differences and the line through them; of several trees' mean the line with its band."""
    single = slope.other in part.policies
    colour = look.colour(part.policies, slope.other) if single else look.ink
    at, line = [q for q, _ in slope.band], [b for _, b in slope.band]
    if single:
        levels = [v for v in part.crossover.levels if slope.other in v.differences]
        shift = 0.004 * (slope.highest - slope.lowest) * part.policies.index(slope.other)
        found = [((v.quality.mean or 0.0) + shift, v.differences[slope.other]) for v in levels]
        _dots(axes, found, colour, look.marker(part.policies, slope.other), "", "none")
    named = None if single else f"{_cut(part.policies[0])} − {slope.other}"
    axes.plot(at, [b.value for b in line], color=colour, linewidth=1.4 if single else 2.6, label=named)
    low, high = [b.low for b in line if b.low is not None], [b.high for b in line if b.high is not None]
    if len(low) == len(at) and (not single or len(part.crossover.slopes) == 1):
        axes.fill_between(at, low, high, color=colour, alpha=0.12, linewidth=0)


def _dots(axes: Axes, found: Sequence[tuple[float, Estimate]], colour: str, marker: str, label: str, line: str) -> None:
    known = [(q, e.mean, e) for q, e in found if e.mean is not None]
    for q, _, e in known:
        if e.low is not None and e.high is not None:
            axes.plot([q, q], [e.low, e.high], color=colour, linewidth=1.8, alpha=0.4)
    at, means = [q for q, _, _ in known], [mean for _, mean, _ in known]
    axes.plot(at, means, linestyle=line, marker=marker, color=colour, linewidth=2, markersize=6, label=label or None)


def _knobs(axes: Axes, at: Sequence[float], names: Sequence[str], look: Look) -> None:
    """Print above the axis what was turned to get a quality."""
    for number, (q, name) in enumerate(zip(at, names, strict=True)):
        side = "left" if number == 0 else "right" if number == len(at) - 1 else "center"
        # By turns on two lines, since qualities may be close.
        height, where = 1.0 - 0.045 * (number % 2), ("data", "axes fraction")
        axes.annotate(_cut(name), (q, height), xycoords=where, ha=side, va="top", fontsize=7.5, color=look.faint)


def effects(part: Part, look: Look) -> Figure | None:
    """Main effects of every factor; open ones hold within one policy."""
    known = [e for e in part.effects if e.kind != "interaction" and e.difference.mean is not None]
    if len({e.factor for e in known}) < 2:
        return None
    order = list(dict.fromkeys((e.factor, e.level, e.against) for e in known))
    known.sort(key=lambda e: (order.index((e.factor, e.level, e.against)), e.kind != "main", e.policy))
    figure = _figure(8.4, 1.0 + ROW * len(known))
    axes = figure.subplots()
    for y, e in enumerate(known):
        colour = look.ink if e.kind == "main" else look.colour(part.policies, e.policy)
        _whisker(axes, y, e.difference, colour, look.marker(part.policies, e.policy), open=e.kind != "main")
    axes.axvline(0, color=look.ink, linewidth=1)
    main = "{0.factor}: {0.level} − {0.against}"
    _lines(axes, [main.format(e) if e.kind == "main" else f"within {e.policy}" for e in known])
    axes.set_xlabel("paired difference, share of the way")
    return figure


PICTURES = (
    Picture("standing", "How far each came", standing, "A line per arm with its mean share of the way and interval."),
    Picture("crossover", "The crossover", crossing, "Shares and leads over the measured quality of the reasoner."),
    Picture("differences", "Who is ahead", differences, "Paired differences with intervals, and blocks won and lost."),
    Picture("wins", "Who wins how often", wins, "A grid of policies; each field is the share of blocks that one wins."),
    Picture("anytime", "At every moment", anytime, "Curves of the best hidden score so far against what was spent."),
    Picture(
        "curves",
        "Validation and hidden",
        curves,
        "Per task the best validation score so far and its hidden one.",
    ),
    Picture("heat", "Task by task", heat, "A grid of arms and tasks; each field is a mean share of the way."),
    Picture("effects", "Which factor earns what", effects, "Main effects of factors with intervals."),
    Picture("selection", "What choosing cost", selection, "For each arm what it handed in and the best it had."),
)
"""In the order of the page. Their tables, with every number, stand beside them."""


def draw(report: BenchReport, path: Path, name: str | None = None, part: str | None = None) -> str:
    """Draw one picture of a part into a file and return its title. Without a name the crossover, else the standings.
    Raises `UsageError` where the part is not there, or has nothing to show in that picture."""
    parts = {p.name: p for p in report.parts}
    chosen = parts.get(part) if part else report.parts[0]
    if chosen is None:
        raise UsageError(f"there are no {part} tasks here, but {', '.join(parts)}")
    wanted = [p for n in ([name] if name else ["crossover", "standing"]) for p in PICTURES if p.name == n]
    with looks.style(looks.FILE):
        for picture in wanted:
            if (figure := picture.draw(chosen, looks.FILE)) is not None:
                looks.save(figure, path)
                return picture.title
    why = {
        "crossover": chosen.crossover.missing,
        "differences": "no two searches met on a task, split and seed",
        "wins": "no two searches met on a task, split and seed",
        "effects": "fewer than two factors vary",
    }.get(name or "", "no run has a share of the way")
    raise UsageError(f"there is nothing to draw as {name or 'standing'} here: {why}")

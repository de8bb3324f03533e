"""Three results to recompute from imported traces: medal rate, improvement rate, and which components earn the gains.

A trace is one file of runs, a run one competition of it. Pure arithmetic on trajectories and test reports.

* *Medal rate*: share of a trace's competitions with a medal. Which iteration was handed in is not recorded, so each
  rule that could have chosen is shown: the last accepted one, the best accepted by validation score, and any at all
  (an upper bound that no rule reaches). Intervals are Wilson's.
* *Improvement rate*: of the iterations that came when there was a valid score to beat, the share that beat the best one
  before them; failed ones count as not having. Iterations of one competition are not independent, so the interval is a
  bootstrap over competitions.
* *Components*: accepted iterations by the component that they changed, and their share of what all accepted ones gained
  over their parents, each competition weighing the same, with a bootstrap over competitions.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gome.events import ReportImported, Trajectory

Z = 1.959963984540054
DRAWS = 2_000
PAPER = {"Gome": 0.411, "without structured reasoning": 0.226}
"""Improvement rates that the paper reports, to be shown beside what is found."""
RULES = ("last accepted", "best accepted", "any attempt")


class Rate(Struct, frozen=True):
    """`count` of `of` with the bounds of a 95 % interval; `share` is None where there is nothing to count."""

    count: float
    of: float
    share: float | None
    low: float
    high: float


class Component(Struct, frozen=True):
    """A component: iterations that changed it, accepted ones, and the share of all accepted gain."""

    name: str
    attempts: int
    accepted: int
    gained: int
    share: Rate


class TraceFigures(Struct, frozen=True):
    """The figures of one trace. `medals` are by rule; `graded` counts competitions with at least one test report."""

    trace: str
    competitions: int
    graded: int
    loops: int
    accepted: int
    medals: dict[str, Rate]
    improvement: Rate
    components: tuple[Component, ...]


class Played(Struct, frozen=True):
    """One competition as the figures need it: (had something to beat, beat it) counts, medals by rule (None: no
    report), and by component (attempts, accepted, accepted with gain, share of the gain)."""

    loops: int
    accepted: int
    chances: int
    beaten: int
    medals: dict[str, bool | None]
    components: dict[str, tuple[int, int, int, float]]


def wilson(count: int, of: int) -> Rate:
    """A share with Wilson's score interval at 95 %."""
    if not of:
        return Rate(count, of, None, 0.0, 1.0)
    p = count / of
    middle = (p + Z * Z / (2 * of)) / (1 + Z * Z / of)
    half = Z / (1 + Z * Z / of) * math.sqrt(p * (1 - p) / of + Z * Z / (4 * of * of))
    return Rate(count, of, p, max(0.0, middle - half), min(1.0, middle + half))


def resampled(parts: Sequence[tuple[float, float]], draws: int = DRAWS) -> Rate:
    """Σcount / Σof over parts with a percentile bootstrap over the parts at 95 %, the same for the same parts."""
    count, of = sum(c for c, _ in parts), sum(n for _, n in parts)
    if not of:
        return Rate(count, of, None, 0.0, 1.0)
    random_ = random.Random(len(parts))
    found = []
    for _ in range(draws):
        chosen = random_.choices(parts, k=len(parts))
        whole = sum(n for _, n in chosen)
        if whole:
            found.append(sum(c for c, _ in chosen) / whole)
    found.sort()
    return Rate(
        count, of, count / of, found[int(0.025 * len(found))], found[min(len(found) - 1, int(0.975 * len(found)))]
    )


def play(t: Trajectory, reports: Mapping[str, ReportImported]) -> Played:
    """Read one competition."""
    best: float | None = None
    chances = beaten = 0
    parts: dict[str, tuple[int, int, int, float]] = {}
    gains = {a.id: a.gain for a in t.attempts.values() if a.accepted and a.parent and a.gain > 0}
    total = sum(gains.values())
    for a in t.attempts.values():
        if best is not None:
            chances += 1
            beaten += a.score is not None and t.gain(a.score, best) > 0
        if a.score is not None and (best is None or t.gain(a.score, best) > 0):
            best = a.score
        name = (a.hypothesis.component if a.hypothesis else "") or "unknown"
        tried, taken, gained, share = parts.get(name, (0, 0, 0, 0.0))
        gain = gains.get(a.id, 0.0)
        parts[name] = tried + 1, taken + bool(a.accepted), gained + (gain > 0), share + (gain / total if total else 0.0)
    accepted = t.accepted_attempts()
    last = accepted[-1].id if accepted else ""
    return Played(
        len(t.attempts),
        len(accepted),
        chances,
        beaten,
        {
            "last accepted": _medal(reports, [last]),
            "best accepted": _medal(reports, [t.best]),
            "any attempt": _medal(reports, list(reports)),
        },
        parts,
    )


def _medal(reports: Mapping[str, ReportImported], names: Sequence[str]) -> bool | None:
    known = [reports[name].medal for name in names if name in reports and reports[name].medal is not None]
    return any(known) if known else None


def figures(trace: str, played: Sequence[Played]) -> TraceFigures:
    """The figures of a trace from its competitions. A competition without a report has no medal."""
    names = sorted({name for p in played for name in p.components})
    return TraceFigures(
        trace,
        len(played),
        sum(p.medals["any attempt"] is not None for p in played),
        sum(p.loops for p in played),
        sum(p.accepted for p in played),
        {rule: wilson(sum(bool(p.medals[rule]) for p in played), len(played)) for rule in RULES},
        resampled([(p.beaten, p.chances) for p in played]),
        tuple(_component(name, played) for name in names),
    )


def _component(name: str, played: Sequence[Played]) -> Component:
    rows = [p.components.get(name, (0, 0, 0, 0.0)) for p in played]
    # A competition in which nothing was gained says nothing about who earns gains.
    weights = [float(any(share for _, _, _, share in p.components.values())) for p in played]
    shares = resampled([(row[3], weight) for row, weight in zip(rows, weights, strict=True)])
    return Component(name, sum(r[0] for r in rows), sum(r[1] for r in rows), sum(r[2] for r in rows), shares)

"""Does the gradient gain on the tree as reasoners get better? The hypothesis, stated before the run, is that it does.

The axis is the *measured* quality of a reasoner: the rank correlation of predicted impact and realised gain, mean over
everybody who used it, so that both sides stand at the same place. A level is one context (reasoner, model, factors).
The statistic is the slope of (gradient − other) over quality by least squares over levels, with a bootstrap over
tasks, then splits, then seeds, in which all levels of a drawn block come along. A crossover is shown only where the
fitted line is below nought at the lowest quality and above it at the highest, with both intervals clear of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from msgspec import Struct

from gome.plugins.bench.report.bootstrap import Array, Estimate, centre, estimate, interval, mean_of, nested, resampled
from gome.plugins.bench.report.paired import blocks_of, mean_share, meet
from gome.plugins.bench.report.results import shares as shares_of
from gome.plugins.bench.report.scale import Arm, Block, Cell, Context, Names, reference_policy

NOT_A_TREE = ("random",)
"""Searches that are no tree search and stay out of their mean."""
TREES = "the mean of the tree searches"
EXACT = 1e-12
BAND = 13
Blocks = Mapping[Arm, Mapping[Block, Sequence[Cell]]]


class Level(Struct, frozen=True):
    """One reasoner: its measured quality, what was turned to get it, each policy's share, and the paired differences
    of the reference policy to each other one."""

    context: str
    factors: dict[str, str]
    quality: Estimate
    shares: dict[str, Estimate]
    differences: dict[str, Estimate]


class Bounded(Struct, frozen=True):
    """A figure with the bounds of its 95 % interval, None where one block says nothing about others."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def side(self) -> int:
        """1 or -1 where the whole interval is on that side of nought, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


class Slope(Struct, frozen=True):
    """The line of (one − other) over quality: its slope per unit of quality, and what it is at the `lowest` and the
    `highest` measured quality. `crossing` is the quality at which it passes nought, None where none is shown. `band`
    is the line itself: qualities, and its value at each with a pointwise interval."""

    one: str
    other: str
    levels: int
    blocks: int
    slope: Bounded
    lowest: float
    highest: float
    at_lowest: Bounded
    at_highest: Bounded
    crossing: Bounded | None
    band: tuple[tuple[float, Bounded], ...]
    verdict: str


class Crossover(Struct, frozen=True):
    """All levels by quality, and a slope per compared policy. `missing` says in words why there is none, `doubt` what
    makes those that there are doubtful."""

    levels: tuple[Level, ...] = ()
    slopes: tuple[Slope, ...] = ()
    missing: str = ""
    doubt: str = ""


def crossover(cells: Sequence[Cell], names: Names) -> Crossover:
    """The crossover of the reference policy with every other, and with the mean of the tree searches."""
    if len(names.policies) < 2:
        return Crossover(missing="one search only: nothing to cross")
    measured = [c for c in cells if c.row.quality is not None]
    contexts = [c for c in names.contexts if any(m.arm.context == c for m in measured)]
    if len(contexts) < 2:
        count = "no reasoner" if not contexts else "one reasoner"
        return Crossover(missing=f"the quality of {count} was measured; a slope needs two")
    reference = reference_policy(names)
    trees = [p for p in names.policies if p != reference and p[0] not in NOT_A_TREE and p[0] != reference[0]]
    others = {TREES: trees} if len(trees) > 1 else {}
    others |= {title: [policy] for policy, title in names.policies.items() if policy != reference}
    blocks: Blocks = blocks_of(cells)
    title = names.policies[reference]
    slopes = []
    for other, policies in others.items():
        found = _slope(title, other, _observed(blocks, contexts, reference, policies, list(names.policies)))
        slopes += [found] if found else []
    levels = [(_level(cells, blocks, c, names, reference), c) for c in contexts]
    levels.sort(key=lambda v: (v[0].quality.mean or 0.0, v[1]))
    ends = [_qualities(cells, context) for _, context in (levels[0], levels[-1])]
    return Crossover(tuple(level for level, _ in levels), tuple(slopes), doubt=_doubt(*ends) if slopes else "")


def _doubt(weakest: Mapping[Block, float], strongest: Mapping[Block, float]) -> str:
    """A slope over an axis that is itself noise says little, however narrow its interval."""
    both = sorted(weakest.keys() & strongest.keys())
    apart = estimate([(b[0], b[1], strongest[b] - weakest[b]) for b in both])
    if apart.sign > 0 or apart.mean is None or apart.low is None or apart.high is None:
        return ""
    found = f"{apart.mean:.2f} [{apart.low:.2f}, {apart.high:.2f}]"
    return (
        f"The strongest reasoner is not told apart from the weakest in measured quality ({found}): no slope says much."
    )


def _qualities(cells: Sequence[Cell], context: Context) -> dict[Block, float]:
    """The measured quality of a reasoner by block, mean over all that used it there."""
    seen: dict[Block, list[float]] = defaultdict(list)
    for cell in cells:
        if cell.arm.context == context and cell.row.quality is not None:
            seen[cell.block].append(cell.row.quality)
    return {block: sum(values) / len(values) for block, values in sorted(seen.items())}


def _observed(
    blocks: Blocks,
    contexts: Sequence[Context],
    one: tuple[str, str],
    others: Sequence[tuple[str, str]],
    everybody: Sequence[tuple[str, str]],
) -> list[tuple[str, int, Array]]:
    """Per block the differences at each level, then the qualities at each; NaN where there is none."""
    every = sorted({block for arm in blocks.values() for block in arm})
    found = []
    for block in every:
        differences, qualities = [], []
        for context in contexts:
            mine = mean_share(blocks.get(Arm(*one, context), {}).get(block, ()))
            theirs = [mean_share(blocks.get(Arm(*p, context), {}).get(block, ())) for p in others]
            known = [s for s in theirs if s is not None]
            # The mean of several is taken only where all of them are there, or it would be another one in each block.
            whole = mine is not None and len(known) == len(others)
            differences.append(mine - sum(known) / len(known) if whole and mine is not None else np.nan)
            cells = [c for p in everybody for c in blocks.get(Arm(*p, context), {}).get(block, ())]
            seen = [c.row.quality for c in cells if c.row.quality is not None]
            qualities.append(sum(seen) / len(seen) if seen else np.nan)
        if not np.isnan(differences).all():
            found.append((block[0], block[1], np.array([*differences, *qualities])))
    return found


def _slope(one: str, other: str, observed: Sequence[tuple[str, int, Array]]) -> Slope | None:
    if not observed:
        return None
    tree = nested(observed)
    middle = centre(tree)
    count = len(middle) // 2
    usable = ~np.isnan(middle[:count]) & ~np.isnan(middle[count:])
    qualities = middle[count:][usable]
    if usable.sum() < 2 or np.ptp(qualities) < EXACT:
        return None
    keep = np.concatenate([usable, usable])
    lowest, highest = float(qualities.min()), float(qualities.max())
    point = _lines(middle[None, keep], lowest, highest)[0]
    draws = _lines(resampled(tree)[:, keep], lowest, highest)
    bounds = [interval(draws[:, k]) if len(observed) > 1 else None for k in range(3)]
    slope, weak, strong = (Bounded(float(v), *(b or ())) for v, b in zip(point, bounds, strict=True))
    crossing = None
    if weak.side < 0 < strong.side:
        within = interval(_crossing(draws, lowest))
        crossing = Bounded(float(_crossing(point[None], lowest)[0]), *(within or ()))
    verdict = _verdict(one, other, slope, weak, strong, crossing)
    return Slope(
        one,
        other,
        int(usable.sum()),
        len(observed),
        slope,
        lowest,
        highest,
        weak,
        strong,
        crossing,
        tuple(_band(point, draws if len(observed) > 1 else None, lowest, highest)),
        verdict,
    )


def _lines(values: Array, lowest: float, highest: float) -> Array:
    """Slope and fitted difference at both ends for each line of (differences, qualities)."""
    count = values.shape[1] // 2
    y, x = values[:, :count], values[:, count:]
    known = ~np.isnan(y) & ~np.isnan(x)
    y, x = np.where(known, y, np.nan), np.where(known, x, np.nan)
    middle_x, middle_y = mean_of(x, 1), mean_of(y, 1)
    spread = np.nansum((x - middle_x[:, None]) ** 2, 1)
    joint = np.nansum((x - middle_x[:, None]) * (y - middle_y[:, None]), 1)
    slope = np.where(spread > EXACT, joint / np.maximum(spread, EXACT), np.nan)
    ends = [middle_y + slope * (end - middle_x) for end in (lowest, highest)]
    return np.stack([slope, *ends], axis=1)


def _band(point: Array, draws: Array | None, lowest: float, highest: float) -> Iterator[tuple[float, Bounded]]:
    for quality in np.linspace(lowest, highest, BAND).tolist():
        way = quality - lowest
        found = interval(draws[:, 1] + draws[:, 0] * way) if draws is not None else None
        yield quality, Bounded(float(point[1] + point[0] * way), *(found or ()))


def _crossing(lines: Array, lowest: float) -> Array:
    slope = np.where(np.abs(lines[:, 0]) > EXACT, lines[:, 0], np.nan)
    crossing: Array = lowest - lines[:, 1] / slope
    return crossing


def _verdict(one: str, other: str, slope: Bounded, weak: Bounded, strong: Bounded, crossing: Bounded | None) -> str:
    rises = {
        1: f"The lead of {one} over {other} grows with quality",
        -1: f"The lead of {one} over {other} shrinks with quality, against the hypothesis",
        0: f"Whether the lead of {one} over {other} grows with quality is not told apart from chance",
    }[slope.side]
    ends = (weak.side, strong.side)
    if crossing is not None:
        end = f"they cross at a quality of about {crossing.value:.2f}"
    elif ends == (1, 1):
        end = f"no crossover in the range: {one} is ahead throughout"
    elif ends == (-1, -1):
        end = f"no crossover in the range: {one} is behind throughout"
    elif ends == (1, -1):
        end = f"they cross the other way: {one} is ahead with weak reasoners and behind with strong ones"
    elif ends == (0, 0):
        end = "no crossover in the range: they are not told apart at either end"
    else:
        said = {1: f"{one} is ahead", -1: f"{one} is behind", 0: "they are not told apart"}
        where = f"with the weakest reasoner {said[weak.side]}, with the strongest {said[strong.side]}"
        end = f"no crossover in the range: {where}"
    return f"{rises}; {end}."


def _level(cells: Sequence[Cell], blocks: Blocks, context: Context, names: Names, reference: tuple[str, str]) -> Level:
    own = [c for c in cells if c.arm.context == context]
    shares, differences = {}, {}
    lead = blocks.get(Arm(*reference, context), {})
    for policy, title in names.policies.items():
        theirs = blocks.get(Arm(*policy, context), {})
        if not theirs:
            continue
        shares[title] = estimate(shares_of([c for c in own if c.arm.policy == policy]))
        if policy != reference:
            met = [(m.block[0], m.block[1], m.difference) for m in meet(lead, theirs)]
            differences[title] = estimate([(t, s, d) for t, s, d in met if d is not None])
    quality = estimate([(b[0], b[1], q) for b, q in _qualities(cells, context).items()])
    return Level(names.contexts[context], dict(context.factors), quality, shares, differences)

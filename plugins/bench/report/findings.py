"""What a part's figures say, in sentences, before anybody has to read a table: leads, draws, failures, doubts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gome.plugins.bench.report.bootstrap import Estimate
from gome.plugins.bench.report.crossover import Crossover
from gome.plugins.bench.report.gaps import Failure, Missing
from gome.plugins.bench.report.paired import Paired
from gome.plugins.bench.report.results import Standing
from gome.plugins.bench.report.scale import Cell, Scale

FEW_TASKS = 10
"""Fewer tasks than this make a bootstrap over tasks too sure of itself (`bootstrap` says by how much)."""
ROUNDED = 1e-6
"""Relative difference within which a score equals a reference, which is written with seven digits."""
LAVISH = 1.25
"""Spending ratio of arms from which a comparison is called unequal."""


def findings(
    standings: Sequence[Standing],
    pairs: Sequence[Paired],
    cross: Crossover,
    cells: Sequence[Cell],
    scales: Sequence[Scale],
    failed: Sequence[Failure],
    holes: Sequence[Missing],
    ratios: Mapping[str, float],
    lead: str,
) -> Iterator[str]:
    """Sentences, the results first and then what casts doubt on them."""
    for pair in pairs:
        if not pair.context and pair.one == lead:
            yield _met(pair)
    if len(standings) == 1:
        if standings[0].share.mean is not None:
            yield f"{standings[0].arm} came {standings[0].share.mean:.2f} of the way{bounds(standings[0].share)}."
        yield from _beside_references(standings[0].arm, cells, scales)
    for slope in cross.slopes:
        yield slope.verdict
    if cross.doubt:
        yield cross.doubt
    yield from _doubts(standings, scales, failed, holes, ratios)


def _beside_references(arm: str, cells: Sequence[Cell], scales: Sequence[Scale]) -> Iterator[str]:
    """How an arm that stands alone did beside the best score that others were measured to reach on these answers."""
    known = {(s.task, s.split): s for s in scales if s.reference is not None}
    better, met = 0, 0
    for cell in cells:
        scale = known.get((cell.row.task, cell.row.split_seed))
        if scale is None or scale.reference is None:
            continue
        met += 1
        least = ROUNDED * abs(scale.reference)
        better += cell.row.hidden is not None and scale.better(cell.row.hidden, scale.reference) > least
    if met:
        yield (
            f"{arm} handed in better than the best reference score (default LightGBM or an AutoML library) in {better} "
            f"of {met} runs that have one."
        )


def _met(pair: Paired) -> str:
    d = pair.difference
    score = f"{pair.wins} won, {pair.ties} tied, {pair.losses} lost of {pair.blocks} blocks"
    if d.mean is None:
        return f"{pair.one} and {pair.other} share no task with a scale: {score}."
    if d.mean == 0:
        return f"{pair.one} is level with {pair.other}{bounds(d)}: {score}."
    side = "ahead of" if d.mean > 0 else "behind"
    unsure = ", which is not told apart from no difference" if d.low is not None else ", which one block alone shows"
    sure = "" if d.sign else unsure
    return (
        f"{pair.one} is {side} {pair.other} by {abs(d.mean):.3f} of the way{bounds(d, flip=d.mean < 0)}{sure}: {score}."
    )


def bounds(e: Estimate, *, flip: bool = False) -> str:
    """The interval in brackets, turned round with `flip`; nothing where there is none."""
    if e.low is None or e.high is None:
        return ""
    low, high = (-e.high, -e.low) if flip else (e.low, e.high)
    return f" [{low:z.3f}, {high:z.3f}]"


def _doubts(
    standings: Sequence[Standing],
    scales: Sequence[Scale],
    failed: Sequence[Failure],
    holes: Sequence[Missing],
    ratios: Mapping[str, float],
) -> Iterator[str]:
    tasks = {s.task for s in scales}
    flat = {(s.task, s.split) for s in scales if s.gap is None}
    nothing = [(f.task, f.split) for f in failed if not f.handed_in]
    if nothing:
        yield f"{len(nothing)} runs handed in nothing; each counts as the worst that anybody reached in its block."
    if unscaled := sum(where in flat for where in nothing):
        yield f"{unscaled} of them are where there is no scale: they are lost blocks, and in no mean."
    if holes:
        yield f"{len(holes)} cells are missing; differences use the blocks that both sides have."
    if len(tasks) < FEW_TASKS:
        count = "one task" if len(tasks) == 1 else f"{len(tasks)} tasks"
        yield f"With {count} the 95 % intervals are too narrow: of other tasks they promise less than they say."
    unknown = sorted({s.task for s in scales if s.gap is None and s.baseline is None})
    if unknown:
        yield f"No default LightGBM is known on a split of {', '.join(unknown)}: no scale there, only raw scores."
    unbeaten = sorted({s.task for s in scales if s.gap is None and s.baseline is not None})
    if unbeaten:
        yield f"On a split of {', '.join(unbeaten)} nobody beat the default LightGBM: no scale there, only raw scores."
    noisy = sorted({s.task for s in scales if s.gap is not None and s.noise is not None and s.gap < s.noise})
    if noisy:
        why = "the best known is within one standard error of the default LightGBM, so shares are mostly noise"
        yield f"On {', '.join(noisy)} {why}."
    uneven = {c: r for c, r in ratios.items() if r > LAVISH}
    if uneven:
        said = ", ".join(f"{c.replace('_', ' ')} {r:.1f}×" for c, r in uneven.items())
        yield f"Arms did not spend the same; the most lavish against the thriftiest: {said}."

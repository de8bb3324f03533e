"""Policies against each other on the same task, split and seed: mean differences with intervals, wins, ties, losses.

A difference is taken in shares of the scale. Who wins a block is decided by the hidden scores themselves, so that tasks
without a scale count too; one who handed in nothing loses against one who did, and two who did not tie.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from msgspec import Struct

from gome.plugins.bench.report.bootstrap import Estimate, estimate
from gome.plugins.bench.report.scale import Arm, Block, Cell, Context, Names

TIE = 1e-9
"""Relative difference of hidden scores up to which they are a tie."""


class Paired(Struct, frozen=True):
    """`one` − `other` in a context ("" for all of them together), over `blocks` blocks that both have; `unpaired` are
    those that only one has. `win_rate` counts a tie as half a win. `by_task` are mean differences."""

    context: str
    one: str
    other: str
    blocks: int
    unpaired: int
    difference: Estimate
    wins: int
    ties: int
    losses: int
    win_rate: Estimate
    by_task: dict[str, float]


class Met(Struct, frozen=True):
    """Two policies in one block: the difference in shares (None without a scale) and who won: 1, 0.5 or 0."""

    block: Block
    difference: float | None
    won: float


def blocks_of(cells: Sequence[Cell]) -> dict[Arm, dict[Block, list[Cell]]]:
    """Cells by arm and block; several runs of one cell are averaged where they are compared."""
    found: dict[Arm, dict[Block, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        found[cell.arm][cell.block].append(cell)
    return found


def mean_share(cells: Sequence[Cell]) -> float | None:
    """The mean share of the runs of one cell."""
    known = [c.share for c in cells if c.share is not None]
    return sum(known) / len(known) if known else None


def meet(one: Mapping[Block, Sequence[Cell]], other: Mapping[Block, Sequence[Cell]]) -> list[Met]:
    """What happened in every block that both have, in order."""
    found = []
    for block in sorted(one.keys() & other.keys()):
        mine, theirs = mean_share(one[block]), mean_share(other[block])
        difference = None if mine is None or theirs is None else mine - theirs
        found.append(Met(block, difference, _won(one[block], other[block])))
    return found


def _won(one: Sequence[Cell], other: Sequence[Cell]) -> float:
    mine, theirs = _score(one), _score(other)
    if mine == theirs or math.isclose(mine, theirs, rel_tol=TIE):
        return 0.5
    return float(mine > theirs)


def _score(cells: Sequence[Cell]) -> float:
    known = [c.score for c in cells if c.score is not None]
    return sum(known) / len(known) if known else -math.inf


def paired(cells: Sequence[Cell], names: Names) -> list[Paired]:
    """Every two policies that met, over all contexts together and, where there are several, in each."""
    arms = blocks_of(cells)
    found = []
    for one, other in combinations(names.policies, 2):
        meetings: dict[Context, list[Met]] = {}
        unpaired: dict[Context, int] = {}
        for context in names.contexts:
            mine, theirs = (arms.get(Arm(*policy, context), {}) for policy in (one, other))
            if met := meet(mine, theirs):
                meetings[context] = met
                unpaired[context] = len(mine.keys() ^ theirs.keys())
        titles = (names.policies[one], names.policies[other])
        everything = [m for met in meetings.values() for m in met]
        if everything:
            found.append(_paired("", titles, everything, sum(unpaired.values())))
        if len(names.contexts) > 1:
            for context, met in meetings.items():
                found.append(_paired(names.contexts[context], titles, met, unpaired[context]))
    return found


def _paired(context: str, titles: tuple[str, str], met: Sequence[Met], unpaired: int) -> Paired:
    differences = [(m.block[0], m.block[1], m.difference) for m in met if m.difference is not None]
    tasks: dict[str, list[tuple[str, int, float]]] = defaultdict(list)
    for observation in differences:
        tasks[observation[0]].append(observation)
    return Paired(
        context,
        *titles,
        len(met),
        unpaired,
        estimate(differences),
        sum(m.won == 1 for m in met),
        sum(m.won == 0.5 for m in met),
        sum(m.won == 0 for m in met),
        estimate([(m.block[0], m.block[1], m.won) for m in met]),
        {task: estimate(seen, draws=1).mean or 0.0 for task, seen in sorted(tasks.items())},
    )

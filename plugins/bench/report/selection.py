"""What choosing cost: the best hidden score of any attempt of a run against that of what it handed in.

Nobody can see hidden scores while choosing, so a loss is no mistake; its size says what better validation could gain.
Beside it how much more the validation score promised than the hidden one kept. Both are in shares of the scale.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gome.plugins.bench.report.bootstrap import Estimate, estimate
from gome.plugins.bench.report.results import by_arm
from gome.plugins.bench.report.scale import Cell, Names, Scale


class SelectionLoss(Struct, frozen=True):
    """An arm's runs that handed in: `loss` is never negative, `best_share` is what they would have reached without
    it, `hit` is the share of runs that handed in their best, `promised` is validation minus hidden, positive where
    validation promised too much."""

    arm: str
    policy: str
    runs: int
    loss: Estimate
    best_share: Estimate
    hit: Estimate
    promised: Estimate


def selection(cells: Sequence[Cell], scales: Sequence[Scale], names: Names) -> list[SelectionLoss]:
    """One line per arm with a run whose best attempt is known."""
    on = {(s.task, s.split): s for s in scales}
    found = []
    for arm, own in by_arm(cells).items():
        loss, best, hit, promised = [], [], [], []
        for cell in own:
            row, scale = cell.row, on[cell.block[:2]]
            if row.hidden is None or scale.gap is None:
                continue
            where = cell.block[:2]
            if row.best_hidden is not None:
                lost = max(0.0, scale.better(row.best_hidden, row.hidden)) / scale.gap
                loss.append((*where, lost))
                best.append((*where, (cell.share or 0.0) + lost))
                hit.append((*where, float(lost == 0.0)))
            if row.validation is not None:
                promised.append((*where, scale.better(row.validation, row.hidden) / scale.gap))
        if loss or promised:
            count = max(len(loss), len(promised))
            line = (estimate(loss), estimate(best), estimate(hit), estimate(promised))
            found.append(SelectionLoss(names.arm(arm), names.policy(arm.policy), count, *line))
    return found

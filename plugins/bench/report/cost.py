"""What each arm spent, in every currency, failed runs included: means per run, and the whole bill."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gome.plugins.bench.report.results import by_arm
from gome.plugins.bench.report.scale import Cell, Names
from gome.plugins.bench.table import CURRENCIES


class Cost(Struct, frozen=True):
    """An arm's spending by currency: `mean` per run and `total`; None where no run's is known. `unpriced` counts runs
    whose money is unknown, which are left out of both. `accepted` is the mean number of accepted attempts."""

    arm: str
    runs: int
    mean: dict[str, float | None]
    total: dict[str, float | None]
    unpriced: int
    accepted: float


def costs(cells: Sequence[Cell], names: Names) -> list[Cost]:
    """One line per arm."""
    found = []
    for arm, own in by_arm(cells).items():
        mean: dict[str, float | None] = {}
        total: dict[str, float | None] = {}
        for currency in CURRENCIES:
            known = [float(v) for c in own if (v := getattr(c.row, currency)) is not None]
            total[currency] = sum(known) if known else None
            mean[currency] = sum(known) / len(known) if known else None
        unpriced = sum(c.row.money is None for c in own)
        accepted = sum(c.row.accepted for c in own) / len(own)
        found.append(Cost(names.arm(arm), len(own), mean, total, unpriced, accepted))
    return found


def unequal(found: Sequence[Cost]) -> dict[str, float]:
    """By currency, how many times as much as the thriftiest arm the most lavish one spent per run."""
    ratios = {}
    for currency in CURRENCIES:
        means = [m for cost in found if (m := cost.mean[currency])]
        if len(means) > 1:
            ratios[currency] = max(means) / min(means)
    return ratios

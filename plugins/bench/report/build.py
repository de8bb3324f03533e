"""A report: every table of a bench, made from its rows. Development and held-out tasks never share a mean."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gome.plugins.bench.report.anytime import Curve, TaskCurve, anytime, task_curves
from gome.plugins.bench.report.cost import Cost, costs, unequal
from gome.plugins.bench.report.crossover import Crossover, crossover
from gome.plugins.bench.report.factors import Effect, effects
from gome.plugins.bench.report.findings import findings
from gome.plugins.bench.report.gaps import (
    Failure,
    HeldOut,
    Missing,
    Provenance,
    failures,
    held_out,
    missing,
    provenance,
)
from gome.plugins.bench.report.paired import Paired, paired
from gome.plugins.bench.report.results import Standing, TaskResult, standings, task_results
from gome.plugins.bench.report.scale import Names, Scale, place, promoted
from gome.plugins.bench.report.selection import SelectionLoss, selection
from gome.plugins.bench.table import Row


class Part(Struct, frozen=True):
    """The tables of one part: `dev`, `held-out`, or all rows of a bench whose tasks are not parted. `policies` are in
    the order in which all tables and pictures show them, the one first that others are compared with."""

    name: str
    about: Provenance
    policies: tuple[str, ...]
    findings: tuple[str, ...]
    standings: tuple[Standing, ...]
    tasks: tuple[TaskResult, ...]
    paired: tuple[Paired, ...]
    anytime: tuple[Curve, ...]
    curves: tuple[TaskCurve, ...]
    selection: tuple[SelectionLoss, ...]
    costs: tuple[Cost, ...]
    unequal: dict[str, float]
    crossover: Crossover
    effects: tuple[Effect, ...]
    scales: tuple[Scale, ...]
    failures: tuple[Failure, ...]
    missing: tuple[Missing, ...]


class BenchReport(Struct, frozen=True):
    """Everything that is said about a bench, in any form. `unfinished` names cells that were planned and have not
    ended, where a log says what was planned."""

    about: Provenance
    unfinished: tuple[str, ...]
    held_out: tuple[HeldOut, ...]
    parts: tuple[Part, ...]

    @property
    def warnings(self) -> list[str]:
        """What should be known before anything is read."""
        found = [f"{warning}." for warning in self.about.warnings]
        if self.unfinished:
            found.append(f"{len(self.unfinished)} planned cells have not ended; this report is of what is there.")
        return found


def build(rows: Sequence[Row], unfinished: Sequence[str] = ()) -> BenchReport:
    """The report on rows, whatever their order."""
    rows = promoted(rows)
    parts = [name for name in ("dev", "", "held-out") if any(r.split == name for r in rows)]
    made = [_part(name or "all", [r for r in rows if r.split == name]) for name in parts]
    return BenchReport(provenance(rows), tuple(unfinished), tuple(held_out(rows)), tuple(made))


def _part(name: str, rows: Sequence[Row]) -> Part:
    cells, scales = place(rows)
    names = Names(c.arm for c in cells)
    policies = tuple(names.policies.values())
    stand, pairs, cross = standings(cells, names), paired(cells, names), crossover(cells, names)
    failed, holes, spent = failures(cells, names), missing(cells, names), costs(cells, names)
    ratios = unequal(spent)
    return Part(
        name,
        provenance(rows),
        policies,
        tuple(findings(stand, pairs, cross, cells, scales, failed, holes, ratios, policies[0])),
        tuple(stand),
        tuple(task_results(cells, names)),
        tuple(pairs),
        tuple(anytime(cells, scales, names)),
        tuple(task_curves(cells, names)),
        tuple(selection(cells, scales, names)),
        tuple(spent),
        ratios,
        cross,
        tuple(effects(cells, names)),
        tuple(scales),
        tuple(failed),
        tuple(holes),
    )

"""How far each arm came: mean shares with errors and intervals, and raw scores task by task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct

from gome.plugins.bench.report.bootstrap import Estimate, estimate
from gome.plugins.bench.report.scale import Arm, Cell, Names


class Standing(Struct, frozen=True):
    """An arm over all tasks. `share` counts failures as `scale` says, `finished` leaves them out; `quality` is the
    measured quality of its reasoner; `by_task` are mean shares."""

    arm: str
    policy: str
    search: str
    profile: str
    reasoner: str
    model: str
    factors: dict[str, str]
    runs: int
    failed: int
    share: Estimate
    finished: Estimate
    quality: Estimate
    by_task: dict[str, float]


class TaskResult(Struct, frozen=True):
    """An arm on one task: `hidden` and `validation` in units of the metric, failures left out; `share` with them."""

    task: str
    metric: str
    greater_is_better: bool
    arm: str
    runs: int
    failed: int
    hidden: Estimate
    validation: Estimate
    share: Estimate


def shares(cells: Sequence[Cell]) -> list[tuple[str, int, float]]:
    """The shares of cells as observations; cells without a scale have none."""
    return [(c.block[0], c.block[1], c.share) for c in cells if c.share is not None]


def by_arm(cells: Sequence[Cell]) -> dict[Arm, list[Cell]]:
    """Cells by arm, arms in order."""
    found: dict[Arm, list[Cell]] = defaultdict(list)
    for cell in cells:
        found[cell.arm].append(cell)
    return dict(sorted(found.items()))


def standings(cells: Sequence[Cell], names: Names) -> list[Standing]:
    """One line per arm, the best first; arms without a share come last."""
    found = []
    for arm, own in by_arm(cells).items():
        tasks: dict[str, list[tuple[str, int, float]]] = defaultdict(list)
        for observation in shares(own):
            tasks[observation[0]].append(observation)
        quality = [(c.block[0], c.block[1], c.row.quality) for c in own if c.row.quality is not None]
        found.append(
            Standing(
                names.arm(arm),
                names.policy(arm.policy),
                arm.search,
                arm.profile,
                arm.context.reasoner,
                arm.context.model,
                dict(arm.context.factors),
                len(own),
                sum(not c.finished for c in own),
                estimate(shares(own)),
                estimate(shares([c for c in own if c.finished])),
                estimate(quality),
                {task: estimate(seen, draws=1).mean or 0.0 for task, seen in tasks.items()},
            )
        )
    return sorted(found, key=lambda s: (s.share.mean is None, -(s.share.mean or 0.0), s.arm))


def task_results(cells: Sequence[Cell], names: Names) -> list[TaskResult]:
    """One line per task and arm, tasks in order and within one the best arm first."""
    tasks: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        tasks[cell.block[0]].append(cell)
    found = []
    for task, there in sorted(tasks.items()):
        row = next((c.row for c in there if c.row.metric), there[0].row)
        sign = -1.0 if row.greater_is_better else 1.0
        lines = []
        for arm, own in by_arm(there).items():
            hidden = [(task, c.block[1], c.row.hidden) for c in own if c.row.hidden is not None]
            validation = [(task, c.block[1], c.row.validation) for c in own if c.row.validation is not None]
            lines.append(
                TaskResult(
                    task,
                    row.metric,
                    row.greater_is_better,
                    names.arm(arm),
                    len(own),
                    sum(not c.finished for c in own),
                    estimate(hidden),
                    estimate(validation),
                    estimate(shares(own)),
                )
            )
        worst = float("inf")
        found += sorted(lines, key=lambda r: (worst if r.hidden.mean is None else sign * r.hidden.mean, r.arm))
    return found

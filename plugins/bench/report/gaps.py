"""What a report rests on and what it lacks: digests, failures, cells that are missing, scales that are none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct

from gome.plugins.bench.report.scale import Arm, Block, Cell, Names
from gome.plugins.bench.table import Row


class Provenance(Struct, frozen=True):
    """Where the rows come from; `tasks` are the digests of each one's splits. Several playbooks or commits, or several
    digests of one split, mean that the table mixes what should not be compared; `warnings` say so."""

    benches: tuple[str, ...]
    suites: tuple[str, ...]
    playbooks: tuple[str, ...]
    commits: tuple[str, ...]
    tasks: dict[str, tuple[str, ...]]
    reasoners: tuple[str, ...]
    models: tuple[str, ...]
    rows: int
    warnings: tuple[str, ...]

    @property
    def line(self) -> str:
        """Everything that a table must name, short."""
        tasks = ", ".join(f"{t} {'/'.join(map(short, d)) or 'unknown'}" for t, d in self.tasks.items())
        playbooks, commits = (", ".join(map(short, found)) or "unknown" for found in (self.playbooks, self.commits))
        return f"playbook {playbooks}; commit {commits}; tasks {tasks}"


class Failure(Struct, frozen=True):
    """A cell that handed in nothing, or did not end as it should."""

    arm: str
    task: str
    split: int
    seed: int
    run: str
    outcome: str
    handed_in: bool


class Missing(Struct, frozen=True):
    """A cell that others of its bench have and this arm has not: not yet run, or never recorded."""

    bench: str
    arm: str
    task: str
    split: int
    seed: int


class HeldOut(Struct, frozen=True):
    """Runs on held-out tasks with one released playbook; every one ever made belongs here, unfavourable ones too."""

    playbook: str
    commit: str
    bench: str
    runs: int
    tasks: tuple[str, ...]


def short(digest: str) -> str:
    """The first digits of a digest; a version in words stays whole."""
    name = digest.removeprefix("sha256:").removeprefix("sha256-")
    return name[:10] if len(name) >= 32 and all(c in "0123456789abcdef" for c in name) else name or "unknown"


def provenance(rows: Sequence[Row]) -> Provenance:
    """What the rows say of where they come from."""
    tasks: dict[str, set[str]] = defaultdict(set)
    splits: dict[tuple[str, int], set[str]] = defaultdict(set)
    for row in rows:
        tasks[row.task] |= {row.task_digest} - {""}
        splits[row.task, row.split_seed] |= {row.task_digest} - {""}
    playbooks, commits = _all(rows, "playbook"), _all(rows, "commit")
    mixed = {"playbooks": playbooks, "commits": commits}
    warnings = [f"{len(found)} {what} are mixed here" for what, found in mixed.items() if len(found) > 1]
    # Splits of a task are tables of their own; one split has one.
    twice = sorted({task for (task, _), found in splits.items() if len(found) > 1})
    warnings += [f"a split of task {task} comes in several versions" for task in twice]
    return Provenance(
        _all(rows, "bench"),
        _all(rows, "suite"),
        playbooks,
        commits,
        {task: tuple(sorted(found)) for task, found in sorted(tasks.items())},
        _all(rows, "reasoner"),
        _all(rows, "model"),
        len(rows),
        tuple(warnings),
    )


def _all(rows: Sequence[Row], name: str) -> tuple[str, ...]:
    return tuple(sorted({str(getattr(row, name)) for row in rows} - {""}))


def failures(cells: Sequence[Cell], names: Names) -> list[Failure]:
    """Every cell that failed, and every one that did not end as done although it handed in."""
    return [
        Failure(names.arm(c.arm), *c.block, c.row.run, c.row.outcome, c.finished)
        for c in cells
        if not c.finished or c.row.outcome != "done"
    ]


def missing(cells: Sequence[Cell], names: Names) -> list[Missing]:
    """Holes: within a bench every arm should have every block that any arm has."""
    arms: dict[str, set[Arm]] = defaultdict(set)
    blocks: dict[str, set[Block]] = defaultdict(set)
    there: set[tuple[str, Arm, Block]] = set()
    for cell in cells:
        bench = cell.row.bench
        arms[bench].add(cell.arm)
        blocks[bench].add(cell.block)
        there.add((bench, cell.arm, cell.block))
    return [
        Missing(bench, names.arm(arm), *block)
        for bench in sorted(arms)
        for arm in sorted(arms[bench])
        for block in sorted(blocks[bench])
        if (bench, arm, block) not in there
    ]


def held_out(rows: Sequence[Row]) -> list[HeldOut]:
    """Held-out runs by playbook, commit and bench."""
    found: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row.split == "held-out":
            found[row.playbook, row.commit, row.bench].append(row)
    return [HeldOut(*key, len(own), tuple(sorted({r.task for r in own}))) for key, own in sorted(found.items())]

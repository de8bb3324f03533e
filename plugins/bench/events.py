"""What a bench says: what it compares, which cell is to run, what came of it. A cell is one run, with its own log."""

from __future__ import annotations

from typing import ClassVar, Literal

from gome.events import Intent, Payload
from gome.plugins.bench.cells import Treatment
from gome.plugins.bench.suite import Suite

CellOutcome = Literal["done", "stopped", "failed", "lost"]
"""The outcome of a cell's run; `lost` where it could not be started or not be brought to its end."""


class BenchStarted(Payload, frozen=True):
    """A bench begins; said with the first event of its run. The suite and the settings of its treatments, resolved,
    determine all cells; `plan` is the digest over those, `cells` their number. `parallel` runs go on at once. `commit`
    names the code: a git commit where gome runs from a checkout, else its version."""

    suite: Suite
    treatments: tuple[Treatment, ...]
    plan: str
    cells: int
    parallel: int
    commit: str = ""


class ParallelChanged(Payload, frozen=True):
    """From here on so many cells go on at once."""

    parallel: int


class CellRequested(Intent, frozen=True):
    """Asks for the run of a cell: the `number`th (1-based) of the plan, with that digest. The run's id follows from the
    bench's and the digest, so that whoever performs it again takes up the same run."""

    cell: str
    number: int
    name: str
    volatile: ClassVar[tuple[str, ...]] = ("number",)


class CellFinished(Payload, frozen=True):
    """A cell has been brought to its end. `score` is the validation score of what was handed in (None: nothing was),
    `seconds` the active seconds of its run; hidden grades stay in the vault. `reference` is the best hidden score that
    the task's source knows of for these very rows (None: it knows none). `reason` says why it ended as it did."""

    cell: str
    run: str
    outcome: CellOutcome
    reason: str = ""
    score: float | None = None
    seconds: float = 0.0
    reference: float | None = None


class BenchFinished(Payload, frozen=True):
    """All cells have ended, or those that were in flight when the bench was asked to stop: how many, by outcome. `left`
    were never begun."""

    done: int
    stopped: int
    failed: int
    lost: int
    left: int = 0

"""What the runner is asked and what it answers: one execution is one start of a program in a sandbox."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from msgspec import Struct, field

from gome.events.artifact import Artifact, Text
from gome.events.payload import Intent, Occupancy, Payload, Reservation

Purpose = Literal["debug", "full", "seed", "repeat", "rerun", "audit"]
"""Why a program runs: `debug` (a sample), `full` (the attempt), `seed` (noise estimate), `repeat` (the guard asks
again on the next partition), `rerun` (final selection), `audit` (a masked fold)."""

Failure = Literal[
    "", "syntax", "import", "data", "memory", "time", "numeric", "contract", "killed", "cancelled", "hopeless"
]
"""Class of a failed execution; empty when it succeeded. `cancelled` and `hopeless` (stopped below the bar of its
limits) are no faults of the program."""


class Bar(Struct, frozen=True, omit_defaults=True):
    """What a full execution is up against while it runs: the fold scores (by number of the fold) of the best accepted
    attempt on the same partition. A program that is worse on all of the folds it has reported, at least two, by more
    than `margin` (metric units) is stopped."""

    attempt: str
    folds: tuple[float, ...]
    margin: float
    greater: bool = False


class Limits(Struct, frozen=True, omit_defaults=True):
    """What an execution may use: wall seconds, cores (threads), memory and output in MiB, GPUs (0 or 1), and of the
    GPU's memory a share in (0, 1], where 1 means that nobody else uses it meanwhile. `bar` is set where hopeless
    executions are to be stopped early."""

    seconds: float = 600.0
    cores: int = 1
    memory_mb: int = 4096
    disk_mb: int = 1024
    processes: int = 256
    gpus: int = 0
    gpu_share: float = 1.0
    bar: Bar | None = None


class ExecutionRequested(Intent, frozen=True):
    """Run `program` with `inputs` laid out under `input/` (path → artifact), read-only.

    `seed` and `partition` reach the program as GOME_SEED and GOME_PARTITION. `masked_fold` is set for audits, whose
    inputs already lack that fold's labels; it is recorded so that the scorer knows which rows to compare.
    """

    attempt: str
    purpose: Purpose
    program: Text
    inputs: dict[str, Artifact]
    seed: int = 0
    partition: int = 0
    masked_fold: int | None = None
    limits: Limits = Limits()
    trusted: bool = False
    renderer: str = ""
    volatile: ClassVar[tuple[str, ...]] = ("attempt", "limits")

    def reserves(self) -> Reservation:
        """One execution, and its wall limit in seconds."""
        return Reservation(executions=1, execution_seconds=self.limits.seconds)

    def occupies(self) -> Occupancy:
        """Its cores, and its share of a GPU if it may use one."""
        return Occupancy(self.limits.cores, self.limits.gpu_share if self.limits.gpus else 0.0)


class ExecutionRefused(Payload, frozen=True):
    """A program does not run, and its attempt ends, because too little of a limit of the budget is left: `spent` of
    `allowed` are used, what is in flight not counted."""

    attempt: str
    purpose: Purpose
    limit: str
    spent: float
    allowed: float
    reason: str


class ExecutionFinished(Payload, frozen=True):
    """What came of it. `outputs` maps file names below the working folder to artifacts (`oof.csv`, `submission.csv`,
    `scores.csv`, `diagnostics.json`, `members/<key>/oof.csv`, …); `diagnostics` is the parsed, size-capped
    `diagnostics.json`. Seconds are wall and CPU seconds, `peak_mb` the peak resident memory of the process tree.
    `sampled` is the number of training rows that a debug execution was given (0: all of them), `estimated_seconds` what
    the runner expects of the full execution, judged by this one (0: nothing).

    `exception` is the class name of the exception that ended the program and `traceback` its last lines ("" without
    one). `streams` holds whole output streams (`stdout.txt`, `stderr.txt`, up to the runner's cap) that are longer than
    what `stdout` and `stderr` show. `device` is `cpu`, or `cuda:` and the name of the card that the program was given.
    `gpu_seconds` is wall time with a GPU weighted by its utilisation, `gpu_peak_mb` the peak of its memory. `warm` says
    that the program was forked from a process that had imported the libraries, `startup` how many seconds it took to
    make its sandbox (the imports of a cold program are not in it: they are part of `seconds`). `cached` says that
    nothing was run: an equal execution had been, and these are its results and its seconds.
    """

    attempt: str
    purpose: Purpose
    ok: bool
    exit_code: int = 0
    signal: int = 0
    failure: Failure = ""
    error: str = ""
    stdout: Text = Text(text="")
    stderr: Text = Text(text="")
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    device: str = "cpu"
    outputs: dict[str, Artifact] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)
    program: str = ""
    seed: int = 0
    partition: int = 0
    masked_fold: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    sampled: int = 0
    exception: str = ""
    traceback: str = ""
    streams: dict[str, Artifact] = field(default_factory=dict)
    gpu_seconds: float = 0.0
    gpu_peak_mb: float = 0.0
    warm: bool = False
    startup: float = 0.0
    cached: bool = False
    estimated_seconds: float = 0.0

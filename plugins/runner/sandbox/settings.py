"""The runner's table in a run's settings (`[sandbox]`), with defaults that suit tabular tasks on a small machine."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gome.events import Limits

Seconds = Annotated[float, Meta(gt=0, le=1e7)]
Count = Annotated[int, Meta(ge=1, le=1 << 30)]


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits and habits of executions.

    `seconds` and `debug_seconds` are wall time of a full and of a debug execution; with `allow_longer` both grow as
    programs of the run exceed them. `memory_mb`, `disk_mb` are MiB of resident memory and of the working folder;
    `processes` counts threads too. `cores` are those of one execution: its threads, each pinned to a core of its own;
    all that there are where it is more. `gpus` = 1 gives a GPU to programs that can use one (`gpu_use.py`), the whole
    card or `gpu_share` in (0, 1] of its memory; others, and all where there is no GPU, run on the CPU. `debug_share`,
    `debug_rows` and `debug_per_class` size the debug sample: the largest of the three. `output_kb` of each output
    stream go into the event, `stream_mb` to disk. `isolation` is `auto`, one kind of sandbox, or `none`: do as if
    none could be made. `start` is `warm` (forked from a process that has imported the libraries) or `cold` (an
    interpreter per execution). `python` is the absolute path of another interpreter for programs, with the libraries
    of its environment (cold, then, and never answered from the cache). `cgroups` allows a memory cgroup per execution.
    `hide` names further folders below site-packages that programs must not see. `keep` leaves working folders in
    place for a look.

    With `stop_early` a full execution that reports its folds' scores while it runs (`partial_scores.csv`, see
    `early.py`; rendered programs do with `pipeline.partial_scores`) is stopped when after two folds or more all of them
    are worse than those of the best accepted attempt by more than `early_margin` standard errors of a fold's score.

    `cache` answers a debug or full execution from an equal one that has succeeded before, in this run or another of the
    same home: same program, inputs, seed, partition, threads, device, packages and runner. It is answered at once, is
    marked `cached`, keeps the seconds that it took then, and costs no execution seconds of a budget (but counts as an
    execution). So decisions that look at seconds are as they were, while the run as a whole is faster than it would
    be: two runs are compared for time only with `cache = false`, or each in a home of its own. Runs say how many
    executions were answered like this. Seed studies, repeats, reruns and audits are always run.
    """

    seconds: Seconds = 600.0
    debug_seconds: Seconds = 120.0
    allow_longer: bool = False
    cores: Count = 1
    memory_mb: Count = 4096
    disk_mb: Count = 1024
    processes: Count = 256
    gpus: Literal[0, 1] = 0
    gpu_share: Annotated[float, Meta(gt=0, le=1)] = 1.0
    debug_share: Annotated[float, Meta(gt=0, le=1)] = 0.1
    debug_rows: Count = 2000
    debug_per_class: Count = 10
    output_kb: Count = 64
    stream_mb: Count = 16
    isolation: Literal["auto", "namespaces", "bubblewrap", "none"] = "auto"
    start: Literal["warm", "cold"] = "warm"
    python: Annotated[str, Meta(pattern="^(/.*)?$")] = ""
    cgroups: bool = True
    hide: tuple[str, ...] = ()
    keep: bool = False
    cache: bool = True
    stop_early: bool = False
    early_margin: Annotated[float, Meta(ge=0)] = 2.0

    def sample_size(self, rows: int, classes: int) -> int:
        """Number of rows in the debug sample of a table; at most all of them."""
        wanted = max(math.ceil(rows * self.debug_share), self.debug_rows, self.debug_per_class * classes)
        return min(rows, wanted)

    def limits(self, *, debug: bool, left: float | None, late: int = 0, gpu: bool = False) -> Limits:
        """Limits of one execution; `left` are the seconds that the budget still has, `late` counts the executions so
        far that were stopped by their time (RD-Agent's `allow_longer_timeout`: at most thrice the time for debug, from
        the second late one on at most twice for full executions), `gpu` says that the program can use a GPU."""
        seconds = self.debug_seconds if debug else self.seconds
        if self.allow_longer:
            seconds *= min(3.0, 1 + 0.3 * late) if debug else min(2.0, 1 + 0.3 * (late // 2))
        limits = Limits(
            seconds=seconds if left is None else min(seconds, left),
            cores=self.cores,
            memory_mb=self.memory_mb,
            disk_mb=self.disk_mb,
            processes=self.processes,
            gpus=self.gpus if gpu else 0,
        )
        # The default is left out of the log only where it is the struct's own object.
        shared = limits.gpus > 0 and self.gpu_share < 1
        return msgspec.structs.replace(limits, gpu_share=self.gpu_share) if shared else limits


def settings_of(table: dict[str, Any] | None) -> Settings:
    """Read the table as it stands in `RunStarted.settings`; unknown names were refused when the run was started."""
    return msgspec.convert(table or {}, Settings)

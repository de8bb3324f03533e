"""How an execution uses its GPU: sampled about once a second while it runs, in a thread, through NVML.

What a card says by process is summed over the execution's process tree. Where it does not (some drivers, and
containers, in which NVML knows processes by other numbers) an execution that has the card to itself is given all that
happens on it; of a shared card then only its share of the utilisation can be said and nothing of its memory, and no
share of memory is enforced beyond what libraries keep to by themselves (`cards.environment`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from gome.plugins.runner.sandbox import nvml, usage
from gome.plugins.runner.sandbox.nvml import Card

EVERY = 1.0
"""Seconds between looks; a fifth of it at first, since many executions are short."""


class Meter:
    """Measures one execution on one card; a context manager around its run.

    `pids` names the processes of the execution at the moment. `exceeded` says that it has taken more of the card's
    memory than its share in (0, 1], so that it should be stopped.
    """

    def __init__(self, lib: nvml.Nvml | None, card: Card | None, share: float, pids: Callable[[], list[int]]) -> None:
        self.lib, self.card, self.share, self.pids = lib, card, share, pids
        self.seconds = 0.0
        self.peak_mb = 0.0
        self._over = False
        self._by_process = False
        self._before: float | None = None
        self._last = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gome-gpu-meter", daemon=True)

    def __enter__(self) -> Meter:
        if self.lib is not None:
            self.sample(time.monotonic())
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def exceeded(self) -> bool:
        """Whether the execution has taken more than its share."""
        return self._over

    def fields(self) -> dict[str, Any]:
        """The fields of `ExecutionFinished` that say it."""
        if self.card is None:
            return {}
        return {
            "device": f"cuda:{self.card.name}",
            "gpu_seconds": round(self.seconds, 3),
            "gpu_peak_mb": round(self.peak_mb, 1),
        }

    def sample(self, now: float) -> None:
        """Take one look, at `now` seconds of the monotonic clock."""
        assert self.lib is not None and self.card is not None
        passed, self._last = now - self._last, now
        try:
            reading = self.lib.look(self.card.id, int((time.time() - max(passed, EVERY)) * 1e6))
        except nvml.NoNvml:
            return  # the card has gone; the program will say so itself
        if self._before is None:
            self._before = reading.used_mb
            return
        tree = set(self.pids())
        own = [mb for pid, mb in reading.used_by.items() if pid in tree]
        self._by_process = self._by_process or bool(own)
        used, busy = sum(own), reading.busy * self.share
        if self._by_process:
            if reading.busy_by:
                busy = min(1.0, sum(part for pid, part in reading.busy_by.items() if pid in tree))
        elif self.share >= 1:
            used = max(0.0, reading.used_mb - self._before)
        self.seconds += busy * passed
        self.peak_mb = max(self.peak_mb, used)
        if self._by_process and self.share < 1 and self.card.memory_mb:
            self._over = self._over or used > self.share * self.card.memory_mb

    def _watch(self) -> None:
        pause = EVERY / 5
        while not self._stop.wait(pause):
            self.sample(time.monotonic())
            pause = min(EVERY, pause * 1.5)


def meter(card: Card | None, share: float, folder: Path) -> Meter:
    """A meter for the execution whose launcher's id will be in `folder` (see `processes.run`). Without a card it does
    nothing; without NVML it knows only the card's name."""
    lib = nvml.library() if card is not None else None
    try:
        asked = nvml.Nvml(lib) if lib is not None else None
    except nvml.NoNvml:
        asked = None

    def pids() -> list[int]:
        try:
            launcher = json.loads((folder / "process.json").read_text())["pid"]
        except (OSError, ValueError):
            return []  # not started yet
        return [launcher, *usage.descendants(launcher)]

    return Meter(asked, card, share, pids)

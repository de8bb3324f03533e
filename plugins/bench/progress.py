"""What a person sees of a bench that goes on: a line per cell that has ended, with how long the rest may take.

The estimate is made of the cells that have ended: a cell takes what others took on its task with its treatment, else on
its task, else at all; before the first one only the budget is known, and then it is a bound.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gome.kernel.cli.output import cell as shown
from gome.kernel.cli.output import duration, emit
from gome.plugins.bench.cells import Cell
from gome.plugins.bench.events import CellFinished
from gome.plugins.bench.reading import Recorded

if TYPE_CHECKING:
    from gome.events import Commit
    from gome.plugins.bench.launch import Conductor

BEAT = 60.0
"""Seconds between two lines about what goes on while no cell ends."""


class Remaining:
    """How long what is left of a bench may take."""

    def __init__(self, bench: Recorded) -> None:
        self.bench = bench

    def seconds(self, running: dict[str, float]) -> tuple[float, bool] | None:
        """Seconds that are left, and whether that is an estimate (True) or a bound by the budget; `running` maps cells
        that go on to the active seconds that they have used. None where nothing is known."""
        left = [cell for cell in self.bench.cells if cell.digest not in self.bench.ended]
        costs = [self._cost(cell) for cell in left]
        if any(cost is None for cost in costs):
            return None
        known = [cost for cost in costs if cost is not None]
        rest = [
            max(0.0, seconds - running.get(cell.digest, 0.0)) for cell, (seconds, _) in zip(left, known, strict=True)
        ]
        slots = max(1, min(self.bench.parallel, len(rest)))
        return max([sum(rest) / slots, *rest], default=0.0), all(measured for _, measured in known)

    def _cost(self, cell: Cell) -> tuple[float, bool] | None:
        """Seconds of a cell, and whether they were measured on others."""
        for alike in self._alike(cell):
            if alike:
                return statistics.fmean(alike), True
        seconds = cell.budget.seconds
        return None if seconds is None else (seconds, False)

    def _alike(self, cell: Cell) -> Iterator[list[float]]:
        ended = [(self.bench.by_digest[r.cell], r.seconds) for r in self.bench.ended.values() if r.outcome != "lost"]
        same_task = [(other, seconds) for other, seconds in ended if other.task == cell.task]
        yield [seconds for other, seconds in same_task if other.treatment == cell.treatment]
        yield [seconds for _, seconds in same_task]
        yield [seconds for _, seconds in ended]

    def words(self, running: dict[str, float]) -> str:
        """The same for people."""
        found = self.seconds(running)
        if found is None:
            return "how long the rest takes is not known before a cell has ended"
        if found[0] < 1:
            return "longer than others by now, so that nobody can tell"
        return f"{'about' if found[1] else 'at most about'} {duration(found[0])} left"


class Progress:
    """Follows the log of a bench that this process drives."""

    def __init__(self, bench: Recorded, conductor: Conductor, *, as_json: bool) -> None:
        self.bench = bench
        self.conductor = conductor
        self.as_json = as_json
        self.remaining = Remaining(bench)

    def observe(self, commit: Commit) -> None:
        """Take in a commit of the bench's run and print what is worth a line."""
        for event in commit.events:
            if (result := self.bench.apply(event)) is not None:
                self._ended(result)

    def begin(self) -> None:
        """Say what is about to go on."""
        bench, suite = self.bench, self.bench.started.suite
        done = f", {len(bench.ended)} of them done" if bench.ended else ""
        at_once = f"{bench.parallel} at once" if bench.parallel > 1 else "one after the other"
        self.say(f"bench {bench.run}: {suite.name}, {len(bench.cells)} cells{done}, {at_once}")

    def beat(self) -> None:
        """Say what goes on at this moment."""
        driven = [(self.bench.by_digest[d], launch.live) for d, launch in self.conductor.driven.items()]
        said = [
            f"{cell.name} ({live.state.ledger.steps} steps, {duration(live.active_now())})" for cell, live in driven
        ]
        if said:
            self.say(f"  going on: {'; '.join(said)}; {self.remaining.words(self.running())}")

    def running(self) -> dict[str, float]:
        """Active seconds of the cells that go on."""
        return {digest: launch.live.active_now() for digest, launch in self.conductor.driven.items()}

    def say(self, text: str) -> None:
        """A line for people, on stderr."""
        if not self.as_json:
            print(text, file=sys.stderr, flush=True)

    def _ended(self, result: CellFinished) -> None:
        cell, bench = self.bench.by_digest[result.cell], self.bench
        running = {d: s for d, s in self.running().items() if d != result.cell}
        left = self.remaining.seconds(running)
        if self.as_json:
            told = {
                "cell": cell.digest,
                "name": cell.name,
                "run": result.run,
                "outcome": result.outcome,
                "reason": result.reason,
                "score": result.score,
                "seconds": result.seconds,
                "ended": len(bench.ended),
                "cells": len(bench.cells),
                "seconds_left": left[0] if left else None,
                "estimated": bool(left and left[1]),
            }
            emit(told)
            return
        count = f"[{len(bench.ended):>{len(str(len(bench.cells)))}}/{len(bench.cells)}]"
        why = f" ({result.reason})" if result.outcome in ("failed", "lost") and result.reason else ""
        score = f" {shown(result.score)}" if result.score is not None else ""
        more = f"; {self.remaining.words(running)}" if len(bench.ended) < len(bench.cells) else ""
        self.say(f"{count} {cell.name}: {result.outcome}{score}{why}, {duration(result.seconds)}{more}")

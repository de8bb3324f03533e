"""A person at a terminal: a folder with a small table, and the command `gome` as a real process."""

from __future__ import annotations

import csv
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


def write_table(path: Path, rows: int = 240, seed: int = 5) -> None:
    """A regression table with a skewed target, categories, a missing value here and there."""
    rng = random.Random(seed)
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["size", "rooms", "place", "year", "price"])
        for _ in range(rows):
            size, rooms = rng.uniform(30, 200), rng.randint(1, 7)
            place, year = rng.choice(["north", "south", "east", "west"]), rng.randint(1950, 2020)
            value = math.exp(10 + 0.008 * size + 0.06 * rooms + 0.2 * (place == "south") + rng.gauss(0, 0.08))
            out.writerow([round(size, 1) if rng.random() > 0.05 else "", rooms, place, year, round(value)])


def prepare(folder: Path, reruns: int = 1) -> None:
    """Put a small table into a folder, and settings under which runs there ask for few executions beside those of
    their steps: each costs two seconds of imports. `reruns` is how many candidates are run again, and how often."""
    write_table(folder / "houses.csv")
    settings = f"[guard]\nseeds = 2\n\n[reruns]\ncandidates = {reruns}\nrepeats = {reruns}\n"
    (folder / "gome.toml").write_text(settings)


@dataclass(frozen=True)
class Terminal:
    """A working folder in which commands are run."""

    folder: Path

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start `gome …` and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-m", "gome.kernel.cli", *args],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def gome(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run `gome …` to its end."""
        process = self.start(*args)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def lines(self, *args: str) -> list[dict[str, Any]]:
        """Run `gome … --json` and return its lines."""
        done = self.gome(*args, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    prepare(tmp_path)
    return Terminal(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Terminal, dict[str, Any]]:
    """A small run that has been driven to its end, with candidates compared at last, and its result."""
    folder = tmp_path_factory.mktemp("finished")
    prepare(folder, reruns=2)
    terminal = Terminal(folder)
    lines = terminal.lines("run", "houses.csv", "--target", "price", "--steps", "4", "--run", "small")
    return terminal, lines[-1]


Wait = Callable[[subprocess.Popen[str], str], None]


@pytest.fixture
def wait_for() -> Wait:
    """Read a process's stderr until a text occurs in it."""

    def wait(process: subprocess.Popen[str], text: str) -> None:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if text in line:
                return
        raise AssertionError(f"{text!r} never came: {''.join(seen)}")

    return wait

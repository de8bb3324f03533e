"""The 82 competitions of MLE-bench as data: metric, direction, complexity, where answers lie, what wins a medal.

The facts were read from the repository `openai/mle-bench` (commit 783b15a, version 1.0.0) and from a grading report in
its history, those of the seven development competitions from a third party's copy of the leaderboards. Nothing is
graded here; `graders/` does that, `medals.py` says what a score wins.
"""

from __future__ import annotations

import difflib
import os
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from gome.kernel.errors import UsageError
from gome.plugins.tasks.mlebench.medals import Thresholds

Complexity = Literal["low", "medium", "high", "dev"]
SPLITS: dict[str, tuple[Complexity, ...]] = {
    "low": ("low",),
    "lite": ("low",),
    "medium": ("medium",),
    "high": ("high",),
    "split75": ("low", "medium", "high"),
    "all": ("low", "medium", "high"),
    "dev": ("dev",),
}
"""Complexities of each named split; `split75` (all that are reported) is what `all` means here, too."""
VARIABLE = "MLE_BENCH_DATA"
"""Environment variable that names the data folder."""


class Competition(msgspec.Struct, frozen=True):
    """One competition. `metric` is what is computed, `metric_detail` what is particular about it. `answers` and
    `sample` are paths below `prepared/`. `gold`, `silver`, `bronze` and `median` are scores of the frozen leaderboard.
    `sample_score` is the score of the sample submission (None: not a number). `category_inferred` says that the
    category was inferred from the task; `size_gb` is known for the Lite split only; `caveat` is what is wrong or odd
    about it as the benchmark has it ("": nothing known)."""

    id: str
    name: str
    complexity: Complexity
    category: str
    category_inferred: bool
    metric: str
    metric_detail: str
    lower_is_better: bool
    lite: bool
    systemcard: bool
    answers: str
    sample: str
    gold: float
    silver: float
    bronze: float
    median: float
    sample_score: float | None
    size_gb: float | None
    caveat: str

    @property
    def thresholds(self) -> Thresholds:
        """What the published leaderboard asks for."""
        return Thresholds(self.gold, self.silver, self.bronze, self.median, self.lower_is_better)


@cache
def competitions() -> dict[str, Competition]:
    """Every competition by id, by complexity and name."""
    text = resources.files(__package__).joinpath("competitions.json").read_bytes()
    return {one.id: one for one in msgspec.json.decode(text, type=list[Competition])}


def competition(name: str) -> Competition:
    """The competition of an id; `UsageError` names the nearest one. Case counts (`AI4Code`)."""
    known = competitions()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else "see `gome mle-bench list`"
    raise UsageError(f"MLE-bench has no competition {name!r}; {hint}")


def split(name: str) -> list[str]:
    """Ids of a split: a name of `SPLITS`, `systemcard`, or a file with one id a line. `UsageError` otherwise."""
    if name in SPLITS:
        return [one.id for one in competitions().values() if one.complexity in SPLITS[name]]
    if name == "systemcard":
        return [one.id for one in competitions().values() if one.systemcard]
    path = Path(name)
    if path.is_file():
        return [competition(line.strip()).id for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    raise UsageError(f"there is no split {name!r}: name {', '.join(SPLITS)}, systemcard, or a file with one id a line")


def data_folder(said: Path | None = None) -> Path:
    """Where prepared competitions lie: what was said, else $MLE_BENCH_DATA, else where `mlebench prepare` puts them."""
    if said is not None:
        return said
    if named := os.environ.get(VARIABLE):
        return Path(named)
    cache_home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache_home) / "mle-bench" / "data"


def prepared(one: Competition, data: Path) -> Path:
    """The folder with `public/` and `private/` of a prepared competition; `UsageError` when there is none."""
    path = data / one.id / "prepared"
    if not (path / "public").is_dir() and not (path / "private").is_dir():
        raise UsageError(
            f"{one.id} is not prepared in {data}: {path} has neither public nor private; prepare it with "
            f"`mlebench prepare -c {one.id}`, or name the data folder (${VARIABLE} or --data)"
        )
    return path

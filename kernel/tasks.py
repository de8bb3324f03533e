"""The door through which tasks come in: what a task source is, what it is asked and what it hands over.

A source is one object of an entry point in the group `gome.tasks` (role `task`): it says which specifications it
understands (`ames`, `train.csv`, `./houses`) and prepares one as tables on disk. A stranger's source needs this file
only. Preparing belongs to sources, storing the tables and hiding the answers to whoever starts a run; no event is
written here, and nothing heavy is imported.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from gome.events import Task
from gome.kernel.errors import PluginError, UsageError
from gome.kernel.plugin import GROUPS

SPLIT_SEEDS = range(2**32)
"""Seeds of splits: those that numpy and scikit-learn take, since a stranger's source may hand them on."""
SEEDS = range(2**53 + 1)
"""Seeds of runs: whole numbers that JSON and tables keep exactly everywhere."""


def check_seed(name: str, seed: int, among: range, where: str = "") -> None:
    """Raise `UsageError` for a seed out of range."""
    if seed not in among:
        raise UsageError(f"{where}{name} {seed} is out of range: take one from {among[0]} to {among[-1]}")


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What a person may say about a task beside its specification; "" and None leave it to the source.

    `test` is a second table (its rows are to be predicted), `metric` a name such as `rmse`, `id`, `group` and
    `time_column` name columns, `drop` columns that models must not see. `split_seed` chooses another split, one of
    `SPLIT_SEEDS`; `holdout` is the share of rows held out, in (0, 0.9].
    """

    target: str = ""
    test: Path | None = None
    metric: str = ""
    id: str = ""
    group: str = ""
    time_column: str = ""
    drop: tuple[str, ...] = ()
    split_seed: int | None = None
    holdout: float | None = None
    name: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        """Raises `UsageError` for a split seed that is none."""
        if self.split_seed is not None:
            check_seed("split seed", self.split_seed, SPLIT_SEEDS)


Part = Literal["dev", "held-out", ""]
"""Whether methods may be improved on a task, or only be measured on it once they are finished; "" is nobody's word."""


@dataclass(frozen=True)
class Reference:
    """A measured hidden score to compare with: `method` (`lightgbm`, `flaml`), mean `score` over `runs` seeds, the
    bootstrap standard error over rows of one of them, and `how` it was measured, in words."""

    method: str
    score: float
    se: float
    runs: int
    how: str


@dataclass(frozen=True)
class PreparedTask:
    """A task whose tables lie on disk.

    `files` maps `train.csv` and `test.csv` to their paths; `task` names them by digest. `answers` is the table of id
    and target for the rows of test.csv, for the vault only (None: nobody knows them). `page` is a markdown page of
    facts for people. `notices` say in one line each what was guessed or changed. `references` are scores on these
    very answers.
    """

    task: Task
    files: dict[str, Path]
    answers: Path | None
    page: str
    notices: tuple[str, ...] = ()
    part: Part = ""
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What a leak check saw: `leak` makes scores meaningless, `warning` wants a look, `info` is good to know.

    `check` is the check's name, `detail` what was seen with figures, `advice` what to do about it ("": nothing).
    """

    level: Literal["info", "warning", "leak"]
    check: str
    detail: str
    advice: str = ""
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.level}: {self.check}: {self.detail}" + (f" {self.advice}" if self.advice else "")


@runtime_checkable
class TaskSource(Protocol):
    """What an entry point of `gome.tasks` names: an object (or a callable without arguments that returns one).

    `matches` says whether a specification is meant for this source: it looks at spelling and at most at whether a
    path exists. `names` lists the specifications it knows by heart as (name, one line about it).
    """

    name: str
    summary: str

    def matches(self, spec: str) -> bool: ...

    def names(self) -> list[tuple[str, str]]: ...

    def prepare(self, spec: str, options: TaskOptions, folder: Path) -> PreparedTask:
        """Write the task's tables into `folder` (made if need be) and describe them.

        Deterministic: the same specification, options and input bytes give the same bytes. Raises `UsageError` with
        one line (what, where, what to try) for whatever a person can put right.
        """
        ...

    def check(self, prepared: PreparedTask) -> list[Finding]:
        """Look for leaks in a prepared task without reading its answers, so that findings may be shown to anyone."""
        ...


def sources() -> list[TaskSource]:
    """Load every installed task source, by name. `PluginError` names an entry point that cannot be loaded."""
    found: list[TaskSource] = []
    for entry in sorted(entry_points(group=GROUPS["task"]), key=lambda entry: entry.name):
        try:
            loaded = entry.load()
            if not isinstance(loaded, TaskSource) or isinstance(loaded, type):
                loaded = loaded()
        except Exception as error:
            raise PluginError(
                f"task source {entry.name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}; "
                f"reinstall or remove the package that registers it"
            ) from error
        if not isinstance(loaded, TaskSource):
            raise PluginError(
                f"task source {entry.name!r} ({entry.value}) is no TaskSource: it needs name, summary, matches, names, "
                f"prepare and check (see gome/kernel/tasks.py)"
            )
        found.append(loaded)
    return found


def find(spec: str, among: Sequence[TaskSource] | None = None) -> TaskSource:
    """Return the source that a specification is meant for: one that knows the name, else the first that matches.

    So a folder that happens to be called like a known task is written `./ames`. `UsageError` when there is none.
    """
    known = sources() if among is None else list(among)
    names = {name: source for source in reversed(known) for name, _ in source.names()}
    if spec in names:
        return names[spec]
    for source in known:
        if source.matches(spec):
            return source
    near = difflib.get_close_matches(spec, names, n=1)
    hint = (
        f"did you mean {near[0]}?" if near else "see `gome tasks`, or name a table (train.csv) or a folder (./houses)"
    )
    raise UsageError(f"there is no task, table or folder {spec!r}; {hint}")

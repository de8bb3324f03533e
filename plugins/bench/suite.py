"""A suite: what a bench compares, on what, how often and within which budget, as a TOML file says it.

`read_suite` makes a `Suite` of a file, or of the name of one that ships, and refuses what it does not know. Which runs
come of it is in `cells`; what the settings mean is checked in `planning`, when plugins are known.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, convert, field, structs

from gome.events import Budget
from gome.kernel.errors import UsageError
from gome.kernel.settings_file import Origin, dotted, flat, parse, read
from gome.kernel.settings_plugins import plugin_settings, seconds, unknown
from gome.kernel.tasks import SEEDS, SPLIT_SEEDS, check_seed
from gome.plugins.bench.commands import PLAYED
from gome.plugins.bench.table import CURRENCIES, Split

Currency = Literal["seconds", "executions", "completions", "tokens", "money", "steps", "execution_seconds"]
Name = Annotated[str, Meta(min_length=1)]
TIMES = ("seconds", "execution_seconds")
"""Currencies whose amounts may have units."""
WHOLE = ("steps", "executions", "completions", "tokens")
"""Currencies that are counted."""
MOST_SEEDS = 1000
"""The highest number of seeds that a suite may ask for by a number."""
SHARED = ("home", "nats", "replicas", "lease", "tenant", "artifacts", "capacity", "log_level", "secrets")
"""Settings of the kernel's that a single run of a bench cannot have otherwise than the others."""
SHIPPED = Path(__file__).with_name("suites")
"""Where the suites lie that ship."""
_TABLE = "suite"
"""What keys of a suite are called below in error messages."""


class TaskChoice(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A task: a name that `gome tasks` lists, a table or a folder (`spec`), with what `gome run` would be told."""

    spec: Name
    target: str = ""
    test: str = ""
    metric: str = ""
    id: str = ""
    group: str = ""
    time_column: str = ""
    drop: tuple[str, ...] = ()


class SearchChoice(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A search under a `name` that reports show: the plugin `search` (default: of that name), `profile` in the place of
    the suite's profiles, and `settings` like those of a gome.toml."""

    name: Name
    search: str = ""
    profile: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


class ModelChoice(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A language model under a `name` that reports show, asked as `model` (default: that name); `tier` groups models
    and is reported as a factor."""

    name: Name
    model: str = ""
    tier: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


class BudgetChoice(Struct, frozen=True, omit_defaults=True):
    """What every run may spend: `amount` of `currency` (seconds may have units: "12h"; money is in USD), which is what
    runs are compared by, and further `limits` that are there to catch what runs away."""

    currency: Currency
    amount: Annotated[float, Meta(gt=0)]
    limits: dict[str, Any] = field(default_factory=dict)


class Suite(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A suite as it was read. Cells are the product of `tasks` (or `dev` and `held_out`, which the reports keep apart),
    `searches`, `reasoners`, `models`, `profiles`, `factors`, `seeds` and `split_seeds`.

    `hypothesis` is what is expected, said before anything has run. `reasoners` and `profiles` may be "" for the
    default. `split_seeds` choose splits into training and hidden rows; none means each task's own. `capacity` is how
    many programs of one run execute at once, `traces` how many branches it has (None: as the settings say), `parallel`
    how many runs go on at once (None: as many as fit onto the cores). `settings` hold for all runs, like a gome.toml;
    a factor maps each of its levels to settings, or is a `key` and its `levels`."""

    name: str
    about: str = ""
    hypothesis: str = ""
    tasks: tuple[TaskChoice, ...] = ()
    dev: tuple[TaskChoice, ...] = ()
    held_out: tuple[TaskChoice, ...] = ()
    searches: tuple[SearchChoice, ...]
    reasoners: tuple[str, ...] = ("",)
    models: tuple[ModelChoice, ...] = ()
    profiles: tuple[str, ...] = ("",)
    seeds: tuple[int, ...] = (0,)
    split_seeds: tuple[int, ...] = ()
    budget: BudgetChoice
    traces: Annotated[int, Meta(ge=1, le=1000)] | None = None
    capacity: Annotated[int, Meta(ge=1, le=1000)] = 1
    parallel: Annotated[int, Meta(ge=1, le=1000)] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    factors: dict[str, dict[str, Any]] = field(default_factory=dict)

    def all_tasks(self) -> list[tuple[TaskChoice, Split]]:
        """Every task with the side it is on, in the order of the file."""
        sides: list[tuple[tuple[TaskChoice, ...], Split]] = [
            (self.tasks, ""),
            (self.dev, "dev"),
            (self.held_out, "held-out"),
        ]
        return [(task, side) for tasks, side in sides for task in tasks]

    def run_budget(self) -> Budget:
        """The budget of every run."""
        given = {**self.budget.limits, self.budget.currency: self.budget.amount}
        return convert({name: int(value) if name in WHOLE else float(value) for name, value in given.items()}, Budget)

    def factor_levels(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The settings of each level of each factor."""
        return {name: _levels(table) for name, table in self.factors.items()}


def _levels(table: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    if set(table) == {"key", "levels"}:
        path = str(table["key"]).split(".")
        found: dict[str, dict[str, Any]] = {}
        for level in table["levels"]:
            value: Any = level
            for part in reversed(path):
                value = {part: value}
            found[_spelt(level)] = value
        return found
    return {level: dict(settings) for level, settings in table.items()}


def _spelt(level: Any) -> str:
    return ("off", "on")[level] if isinstance(level, bool) else str(level)


def played() -> list[str]:
    """Names of the suites that ship for the recorded world."""
    return sorted(path.stem for path in PLAYED.glob("*.toml"))


def shipped() -> dict[str, Path]:
    """The suites that ship, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def read_suite(spec: str) -> Suite:
    """The suite of a file (`mine.toml`) or of a name that ships. Raises `UsageError` naming file, line and key."""
    known = shipped()
    path = Path(spec)
    if path.suffix != ".toml":
        if spec in played():
            raise UsageError(f"{spec} is played in the recorded world: gome bench {spec}, without run")
        if spec not in known:
            names = [*known, *played()]
            near = difflib.get_close_matches(spec, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}; a file ends in .toml"
            raise UsageError(f"there is no suite {spec!r}; {hint}")
        path = known[spec]
    return suite_of(read(path, "the suite"), str(path), folder=path.absolute().parent)


def suite_of(text: str, source: str, *, folder: Path | None = None) -> Suite:
    """The suite that a text says. Tables and folders that tasks name are looked for in `folder` first. Raises
    `UsageError`."""
    table = parse(text, source)
    if "statistic" in table:
        raise UsageError(f"{source} is a suite of the recorded world: gome bench world {source}")
    origins = {f"{_TABLE}.{dotted(key)}": Origin(source, key, text) for key in flat(table)}
    origins[_TABLE] = Origin(source)
    table.setdefault("name", Path(source).stem)
    for name, kind in (("tasks", TaskChoice), ("dev", TaskChoice), ("held_out", TaskChoice)):
        _entries(table, name, "spec", kind, source)
    _entries(table, "searches", "name", SearchChoice, source)
    _entries(table, "models", "name", ModelChoice, source)
    if isinstance(count := table.get("seeds"), int) and not isinstance(count, bool):
        if not 1 <= count <= MOST_SEEDS:
            raise UsageError(f"{source}: seeds: {count} is no number of seeds: 1 to {MOST_SEEDS}, or a list of seeds")
        table["seeds"] = list(range(count))
    if isinstance(budget := table.get("budget"), dict):
        _limits(budget, source)
    suite = plugin_settings(_TABLE, Suite, table, origins=origins)
    _check(suite, source)
    place = folder or Path.cwd()
    found = {side: tuple(_placed(t, place) for t in getattr(suite, side)) for side in ("tasks", "dev", "held_out")}
    return structs.replace(suite, **found)


def _entries(table: dict[str, Any], name: str, key: str, kind: type[Struct], source: str) -> None:
    """Bring a list of names and tables into one shape, and refuse keys that its tables do not have."""
    if not isinstance(entries := table.get(name), list):
        return
    table[name] = [{key: entry} if isinstance(entry, str) else entry for entry in entries]
    fields = [f.encode_name for f in structs.fields(kind)]
    for place, entry in enumerate(table[name]):
        for given in entry if isinstance(entry, dict) else ():
            if given not in fields:
                raise unknown(f"{name}[{place}].{given}", [f"{name}.{f}" for f in fields], Origin(source))


def _limits(budget: dict[str, Any], source: str) -> None:
    names = structs.fields(Budget)
    currency = budget.get("currency", "")
    if currency not in CURRENCIES:
        raise unknown(f"budget.currency.{currency}", CURRENCIES, Origin(source), "that is no currency of a budget")
    limits = budget.get("limits", {})
    for name in limits if isinstance(limits, dict) else ():
        if name not in {f.name for f in names}:
            raise unknown(f"budget.limits.{name}", [f"budget.limits.{f.name}" for f in names], Origin(source))
        limits[name] = _amount(limits[name], name, f"{source}: budget.limits.{name}")
    if "amount" in budget:
        budget["amount"] = _amount(budget["amount"], currency, f"{source}: budget.amount")


def _amount(value: Any, currency: str, where: str) -> float:
    """An amount of a currency; seconds may have units. Raises `UsageError`, for a part of a step, too."""
    if isinstance(value, str) and currency in TIMES:
        try:
            value = seconds(value)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UsageError(f"{where}: a number above 0 is wanted, not {value!r}")
    if currency in WHOLE and value != int(value):
        raise UsageError(f"{where}: a whole number of {currency} is wanted, not {value!r}")
    return float(value)


def _check(suite: Suite, source: str) -> None:
    """What a struct cannot say. Raises `UsageError`."""
    sides = suite.all_tasks()
    if not sides:
        raise UsageError(f"{source}: there is nothing to work on; name tasks, or dev and held_out")
    if suite.tasks and (suite.dev or suite.held_out):
        raise UsageError(f"{source}: name either tasks, or dev and held_out: reports keep those apart")
    lists: list[tuple[str, Iterable[Any]]] = [
        ("a task", (t for t, _ in sides)),
        ("searches", (s.name for s in suite.searches)),
        ("models", (m.name for m in suite.models)),
        *((name, getattr(suite, name)) for name in ("reasoners", "profiles", "seeds", "split_seeds")),
    ]
    for name, values in lists:
        seen = list(values)
        for twice in (v for v in seen if seen.count(v) > 1):  # which may be 0, or ""
            shown = twice.spec if isinstance(twice, TaskChoice) else twice
            raise UsageError(f"{source}: {name}: {shown} stands there twice; each cell runs once")
    for seed in suite.seeds:
        check_seed("seed", seed, SEEDS, f"{source}: seeds: ")
    for seed in suite.split_seeds:
        check_seed("split seed", seed, SPLIT_SEEDS, f"{source}: split_seeds: ")
    for name in ("searches", "reasoners", "profiles", "seeds"):
        if not getattr(suite, name):
            instead = "name one" if name == "searches" else "leave the key out for the default"
            raise UsageError(f"{source}: {name}: an empty list leaves no cells; {instead}")
    if suite.budget.currency in suite.budget.limits:
        raise UsageError(f"{source}: budget.limits names {suite.budget.currency}, whose limit is the amount")
    for factor, table in suite.factors.items():
        short = set(table) == {"key", "levels"}
        keyed = isinstance(table.get("key"), str) and isinstance(table.get("levels"), list)
        whole = keyed and table["key"] and table["levels"] if short else bool(table)
        if not whole or (not short and not all(isinstance(level, Mapping) for level in table.values())):
            raise UsageError(
                f'{source}: factors.{factor}: write key and levels (key = "guard.enabled", levels = [true, false]), '
                "or a table of settings for each level"
            )
        if short and len(_levels(table)) < len(table["levels"]):
            raise UsageError(f"{source}: factors.{factor}: a level stands there twice; each cell runs once")
    _check_settings(suite, source)


def _check_settings(suite: Suite, source: str) -> None:
    """Refuse settings that no cell would have: those of all runs, and the search, which has a list of its own."""
    said: list[tuple[str, Mapping[str, Any]]] = [
        ("settings", suite.settings),
        *((f"settings of {s.name}", s.settings) for s in suite.searches),
        *((f"settings of {m.name}", m.settings) for m in suite.models),
        *((f"factors.{f}", level) for f, levels in suite.factor_levels().items() for level in levels.values()),
    ]
    for where, table in said:
        for key in table:
            if key == "search":
                raise UsageError(f"{source}: {where}: the search stands in searches, under the name that reports show")
            if key in SHARED:
                instead = "say it at the top of the suite" if key == "capacity" else "it belongs into gome.toml"
                raise UsageError(f"{source}: {where}: {key} is the same for all runs of a bench; {instead}")


def _placed(task: TaskChoice, folder: Path) -> TaskChoice:
    """A task whose files are named absolutely, so that a bench goes on from whatever folder it is called in."""

    def placed(name: str) -> str:
        path = folder / name
        if name and ("/" in name or path.suffix) and path.exists():
            return str(path.resolve())
        return name

    return structs.replace(task, spec=placed(task.spec), test=placed(task.test))

"""From a suite to treatments with resolved settings, checked against the plugins that are installed; nothing runs yet.

The settings of a run are those that `gome run` would have here (gome.toml, environment), then the suite's, then those
of its search, model and levels of factors, then `--set`. They are resolved once, when the bench begins, and recorded
with it: a gome.toml that is edited later changes no cell.
"""

from __future__ import annotations

import itertools
import math
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from gome.kernel.discovery import choose, discover
from gome.kernel.errors import PluginError, UsageError
from gome.kernel.loop import TABLES
from gome.kernel.plugin import Plugin
from gome.kernel.request import Request, resolve_settings
from gome.kernel.settings import Settings, cores, load
from gome.kernel.settings_plugins import merged
from gome.kernel.tasks import find
from gome.plugins.bench.cells import Cell, Treatment, cells, plan_digest
from gome.plugins.bench.suite import ModelChoice, SearchChoice, Suite

TIMED = ("seconds", "execution_seconds")
"""Currencies in which an execution that is answered from the cache would be cheaper than it was."""

_OWN_PROFILE = (
    'a profile in profiles goes with every search; give it to its own: searches = [{ name = "…", profile = "…" }]'
)


@dataclass(frozen=True)
class Resolved:
    """A treatment with the plugins that its runs have, and their settings with every default."""

    treatment: Treatment
    plugins: list[Plugin]
    tables: dict[str, Any]

    def setting(self, role: str, key: str) -> Any:
        """A setting of the plugin that plays a role; None where it has no such setting."""
        name = next((p.name for p in self.plugins if p.role == role), "")
        return self.tables.get(name, {}).get(key)


@dataclass(frozen=True)
class Plan:
    """A suite with all that it comes to; `notices` say what a person should know before it begins."""

    suite: Suite
    resolved: list[Resolved]
    cells: list[Cell]
    digest: str
    parallel: int
    notices: list[str]

    @property
    def treatments(self) -> tuple[Treatment, ...]:
        """What is compared."""
        return tuple(r.treatment for r in self.resolved)


def plan(suite: Suite, settings: Settings, sets: Sequence[str] = (), parallel: int | None = None) -> Plan:
    """Resolve a suite. Raises `UsageError` or `PluginError` for tasks, plugins or settings that are not there, naming
    the treatment."""
    for task, _ in suite.all_tasks():
        find(task.spec)
    found = discover()
    known = {f.plugin.name for f in found if f.plugin is not None} | {*TABLES, "performers"}
    searches = [f.plugin.name for f in found if f.plugin is not None and f.role == "search"]
    resolved = []
    for search, reasoner, model, profile, levels in _combinations(suite):
        label = " ".join(part for part in (search.name, reasoner, model.name, profile, *levels.values()) if part)
        try:
            loaded = _loaded(suite, settings, sets, search, reasoner, model, profile, levels)
            _check_names(loaded, search, reasoner, model, profile)
            treatment = _treatment(loaded, known, search, reasoner, model, profile, levels)
            cast = choose(found, treatment.roles)
            loaded.check_profile(loaded.roles["search"], searches, _OWN_PROFILE)
            request = Request(
                spec="",
                named=treatment.roles,
                settings=loaded.plugins,
                budget=suite.run_budget(),
                fallback=loaded.fallback,
            )
            resolved.append(Resolved(treatment, cast, resolve_settings(cast, request, loaded)))
        except (UsageError, PluginError) as error:
            raise type(error)(f"suite {suite.name}, {label}: {error}") from error
    if suite.models and not any(plugin.role == "completion" for r in resolved for plugin in r.plugins):
        raise UsageError(
            f"suite {suite.name}: models are named, and nobody asks one: name a reasoner that does in reasoners, or "
            "leave models out"
        )
    found_cells = cells(suite, [r.treatment for r in resolved])
    return Plan(
        suite=suite,
        resolved=resolved,
        cells=found_cells,
        digest=plan_digest(found_cells),
        parallel=parallel or suite.parallel or max(1, cores() // suite.capacity),
        notices=_notices(suite, resolved),
    )


def _combinations(
    suite: Suite,
) -> list[tuple[SearchChoice, str, ModelChoice, str, dict[str, str]]]:
    """Every treatment as its parts; `levels` maps factors to the names of their levels. A search with a profile of its
    own stands there once, whatever the suite's profiles are."""
    factors = suite.factor_levels()
    levels = [dict(zip(factors, names, strict=True)) for names in itertools.product(*factors.values())]
    return [
        (search, reasoner, model, profile, chosen)
        for search in suite.searches
        for reasoner in suite.reasoners
        for model in suite.models or (ModelChoice(name=""),)
        for profile in ((search.profile,) if search.profile else suite.profiles)
        for chosen in levels
    ]


def _loaded(
    suite: Suite,
    settings: Settings,
    sets: Sequence[str],
    search: SearchChoice,
    reasoner: str,
    model: ModelChoice,
    profile: str,
    levels: Mapping[str, str],
) -> Settings:
    """The settings of one treatment."""
    flags: dict[str, Any] = merged(suite.settings, search.settings)
    flags["search"] = search.search or search.name
    if reasoner:
        flags["reasoner"] = reasoner
    if profile:
        flags["profile"] = profile
    if model.name:
        flags = merged(flags, {"completion": {"model": model.model or model.name}})
    flags = merged(flags, model.settings)
    for factor, level in levels.items():
        flags = merged(flags, suite.factor_levels()[factor][level])
    if suite.traces is not None:
        flags.setdefault("traces", suite.traces)
    flags["home"] = str(settings.home)
    return load(flags=flags, sets=sets, said_by="what the suite sets")


def _check_names(loaded: Settings, search: SearchChoice, reasoner: str, model: ModelChoice, profile: str) -> None:
    """Raise `UsageError` where something else than what a cell is called by would run in it."""
    asked = loaded.plugins.get("completion", {}).get("model")
    for key, said, has in (
        ("search", search.search or search.name, loaded.roles.get("search")),
        ("reasoner", reasoner, loaded.roles.get("reasoner")),
        ("profile", profile, loaded.profile),
        ("completion.model", model.model or model.name, asked),
    ):
        if said and has != said:
            raise UsageError(
                f"{loaded.origins.get(key, 'a setting')} puts {has} in the place of {said}, by which cells would still "
                "be called; leave it out, or change the suite"
            )


def _treatment(
    loaded: Settings,
    known: set[str],
    search: SearchChoice,
    reasoner: str,
    model: ModelChoice,
    profile: str,
    levels: Mapping[str, str],
) -> Treatment:
    factors: dict[str, str | float] = {name: _level(level) for name, level in levels.items()}
    if model.tier:
        factors["tier"] = model.tier
    return Treatment(
        search=search.name,
        reasoner=reasoner,
        model=model.name,
        profile=profile,
        factors=factors,
        roles=dict(loaded.roles),
        # A profile may speak to plugins that are not installed here; nobody would read their tables.
        settings={name: table for name, table in loaded.plugins.items() if name in known},
        traces=loaded.traces,
        fallback=loaded.fallback,
    )


def _level(name: str) -> str | float:
    try:
        value = float(name)
    except ValueError:
        return name
    return value if math.isfinite(value) else name


def _notices(suite: Suite, resolved: Sequence[Resolved]) -> list[str]:
    said = []
    if suite.budget.currency in TIMED and any(r.setting("runner", "cache") for r in resolved):
        said.append(
            f"runs are compared by {suite.budget.currency.replace('_', ' ')}, but equal executions are answered from a "
            "cache, which makes later runs cheaper: switch the runner's cache off"
        )
    if any(r.setting("memory", "across") for r in resolved):
        said.append("memories reach across runs: what a cell finds depends on which cells have ended before it")
    if len(suite.seeds) * max(1, len(suite.split_seeds)) == 1:
        said.append("one seed on one split: differences between treatments cannot be told from luck")
    return said


def code_version() -> str:
    """What names the code that runs: the commit of the checkout that gome lies in (with `-dirty` where files differ
    from it), else its version."""
    if _git("ls-files", Path(__file__).name) and (name := _git("describe", "--always", "--dirty", "--exclude=*")):
        return name
    return metadata.version("gome")


def _git(*arguments: str) -> str:
    """What git says about the checkout that this file lies in; "" where there is none."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def check_same(known: str, planned: Plan, bench: str) -> None:
    """Raise `UsageError` where a bench of this id was begun with another plan."""
    if known != planned.digest:
        raise UsageError(
            f"bench {bench} was begun with another plan than this suite has with these settings; go on with it as it "
            f"was by `gome bench --resume {bench}`, or name a new one with --run"
        )

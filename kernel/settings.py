"""Settings: one reader of TOML, environment and flags, in that order; later sources win.

    defaults < profile < gome.toml < environment (GOME_…) < flags < --set KEY=VALUE

A profile stands right below the source that names it: below gome.toml when that says `profile = "…"`, above it when
GOME_PROFILE or a flag does. Keys of the kernel are top-level, so are roles (`search = "gradient"`; the completion
plugin stands in its table: `completion.plugin`); every other table belongs to the plugin of its name and is checked by
`plugin_settings` once plugins are known. Secrets come from the environment
or the secrets file only. Every value remembers where it came from, for errors and for `Settings.explain`.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gome.kernel.diagnostics import HIDDEN, LEVELS, learn, redact
from gome.kernel.errors import UsageError
from gome.kernel.profiles import find_profile
from gome.kernel.settings_file import Key, Origin, dotted, flat, nested, origins_of, overlay, parse, read, read_secrets
from gome.kernel.settings_plugins import at, plugin_settings, seconds, unknown

__all__ = ["Origin", "Settings", "cores", "load", "plugin_settings", "seconds"]

FILE = "gome.toml"
ROLES = ("search", "reasoner", "mutator", "runner", "scorer", "judge", "memory", "selection")
ASKER = ("completion", "plugin")
"""Where the plugin of the role `completion` is named: the role shares its name with a table of the kernel's."""
SECRETS = ("nats_token", "nats_user", "nats_password")
KEYS = {
    "home": "GOME_HOME",
    "nats": "GOME_NATS_URL",
    "replicas": "GOME_REPLICAS",
    "lease": "GOME_LEASE",
    "tenant": "GOME_TENANT",
    "artifacts": "GOME_ARTIFACTS",
    "capacity": "GOME_CAPACITY",
    "traces": "GOME_TRACES",
    "log_level": "GOME_LOG_LEVEL",
    "profile": "GOME_PROFILE",
    "fallback": "GOME_FALLBACK",
    "secrets": "GOME_SECRETS",
}
"""The kernel's keys and their variables. Those in `NUMBERS` are whole numbers, all others are texts."""
NUMBERS: dict[str, Sequence[int]] = {
    "capacity": range(1, 100_000),
    "replicas": (1, 3, 5),
    "lease": range(5, 3601),
    "traces": range(1, 1001),
}
"""Keys that are whole numbers, and the values that they may have."""
_OTHERWISE = "leave one of the two out, or take a profile that names no search, such as robust"
_WORD = re.compile(r"[^\s\"'\[\]{}=#,]+")


@dataclass(frozen=True)
class Settings:
    """What a command runs with. `home` is absolute; `nats_url` is "" for the embedded server; `artifacts` is "" for
    the folder under home, else a folder or a URL; `capacity` counts programs that run at once (≥ 1), `traces` the
    branches that a run searches side by side (1 to 1000); `roles` maps roles to plugin names where somebody chose;
    `plugins` holds a table per plugin, unchecked; `secrets` is what the secrets file says. `replicas` is how many
    servers of a cluster shall hold the log (1, 3 or 5; 0: three where there is a cluster), `lease` after how many
    seconds of silence a worker's work, or a service's, goes to another one (5 to 3600). `origins` maps keys as TOML
    writes them to where they came from, `profiled` is what the profile says by itself."""

    home: Path
    nats_url: str = ""
    nats_token: str = field(default="", repr=False)
    nats_user: str = field(default="", repr=False)
    nats_password: str = field(default="", repr=False)
    tenant: str = "main"
    artifacts: str = ""
    replicas: int = 0
    lease: int = 30
    capacity: int = 1
    traces: int = 3
    log_level: str = "info"
    profile: str = ""
    fallback: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    plugins: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    origins: Mapping[str, Origin] = field(default_factory=dict, repr=False)
    profiled: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def explain(self) -> list[tuple[str, str, str]]:
        """Return (key, value, where it came from) for every setting, the kernel's first; secrets show as `***`."""
        rows = {key: str(getattr(self, "nats_url" if key == "nats" else key)) for key in KEYS if key != "secrets"}
        rows |= {dotted(ASKER) if role == ASKER[0] else role: name for role, name in self.roles.items()}
        rows |= {name: HIDDEN if getattr(self, name) else "" for name in SECRETS}
        rows |= {name: HIDDEN for name in self.secrets}
        rows |= {dotted(key): str(value) for key, value in flat(self.plugins).items()}
        order = sorted(rows, key=lambda key: ("." in key, key))
        return [(key, redact(rows[key]), str(self.origins.get(key, "default"))) for key in order]

    def check_tables(self, known: Iterable[str]) -> None:
        """Raise `UsageError` for a table whose name is not in `known`, the names of the run's plugins, unless only a
        profile says something there: profiles are made for several sets of plugins."""
        names = set(known)
        for table in self.plugins:
            if table not in names:
                mine = [o for key, o in self.origins.items() if f"{key}.".startswith(f"{dotted((table,))}.")]
                said = [origin for origin in mine if not origin.profile]
                if said or not mine:
                    raise unknown(table, names, next(iter(said), None), "no plugin has settings of this name")

    def check_profile(self, search: str, searches: Iterable[str], instead: str = _OTHERWISE) -> None:
        """Raise `UsageError` for a profile that is made for another search than `search`: one that names one, or holds
        nothing but tables of some. `searches` are those that are installed; `instead` says what to try."""
        named = self.profiled.get("search", "")
        tables = {table for table in self.profiled if table in set(searches)}
        meant = {named, *tables} - {""}
        if not meant or search in meant or (not named and tables != set(self.profiled)):
            return
        origin = self.origins.get("profile")
        raise UsageError(
            f"profile {self.profile}{f' ({origin})' if origin else ''} is made for the search "
            f"{' or '.join(sorted(meant))}, and this run's search is {search}: {instead}"
        )

    def export_secrets(self, environ: MutableMapping[str, str] = os.environ) -> None:
        """Put the secrets file's values into the environment, where plugins look for theirs; what is there stays."""
        for name, value in self.secrets.items():
            environ.setdefault(name, value)


def load(
    *,
    config: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    profiles: Callable[[str], Mapping[str, Any]] = find_profile,
    said_by: str = "",
) -> Settings:
    """Read the settings.

    `config` is the file of `--config` (default: gome.toml in `folder`, the working folder, where there is one);
    `flags` are keys and tables as in the file, None where a flag was not given; `said_by` names who said them where it
    is no command line; `sets` are `--set` options; `profiles` finds a profile by name. Raises `UsageError` naming
    source, line and key.
    """
    environ = os.environ if environ is None else environ
    folder = Path.cwd() if folder is None else folder
    layers = [
        _environment(environ, folder),
        _flags(flags or {}, folder, said_by),
        *(_set(text, folder) for text in sets),
    ]
    if config is not None or (folder / FILE).exists():
        layers.insert(0, _file(config or folder / FILE))
    values: dict[Key, Any] = {}
    origins: dict[Key, Origin] = {}
    folders: dict[Key, Path] = {}
    layers, profiled = _with_profile(layers, profiles)
    for layer in layers:
        for key, value in layer.values.items():
            origin = layer.origins[key]
            value = _checked(key, value, origin)
            for replaced in overlay(values, key, value):
                origins.pop(replaced, None)
            origins[key], folders[key] = origin, layer.folder
    return replace(_settings(values, origins, folders, environ, folder), profiled=profiled)


def cores() -> int:
    """Return how many CPU cores this process may use, by affinity and by the quota of its control group (≥ 1)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = math.inf
    try:
        own = re.search(r"^0::(/.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
        group = Path("/sys/fs/cgroup", own[1].lstrip("/") if own else "")
        for place in (group, *group.parents):
            if (place / "cpu.max").exists():
                most, period = (place / "cpu.max").read_text().split()
                quota = min(quota, math.inf if most == "max" else int(most) / int(period))
    except (OSError, ValueError):
        pass  # no control groups of the second version here, or none for this process
    return max(1, min(count, int(quota) if quota < math.inf else count))


@dataclass(frozen=True)
class _Layer:
    """One source: its values, where each came from, and the folder that its paths are relative to."""

    values: Mapping[Key, Any]
    origins: Mapping[Key, Origin]
    folder: Path


def _file(path: Path) -> _Layer:
    text = read(path, "settings from")
    values = flat(parse(text, str(path)))
    return _Layer(values, origins_of(text, str(path), values), path.absolute().parent)


def _environment(environ: Mapping[str, str], folder: Path) -> _Layer:
    given: dict[Key, Any] = {(key,): environ[name] for key, name in KEYS.items() if environ.get(name)}
    return _Layer(given, {key: Origin(f"variable {KEYS[key[0]]}") for key in given}, folder)


def _flags(flags: Mapping[str, Any], folder: Path, said_by: str) -> _Layer:
    given = {key: value for key, value in flat(flags).items() if value is not None}
    names = {
        key: said_by or f"--{key[0].replace('_', '-')}" if len(key) == 1 else said_by or "command line" for key in given
    }
    return _Layer(given, {key: Origin(names[key]) for key in given}, folder)


def _set(text: str, folder: Path) -> _Layer:
    name, equals, value = (part.strip() for part in text.partition("="))
    try:
        if not (name and equals and value):
            raise UsageError(f"--set {name}: write KEY=VALUE, such as playbook.strength=0.5")
        try:
            parsed = tomllib.loads(f"{name} = {value}")
        except tomllib.TOMLDecodeError as error:
            # A bare word is what people type; anything with TOML's own signs in it was meant as TOML.
            if not _WORD.fullmatch(value):
                raise UsageError(f"--set {name}: the value is neither TOML nor a plain word ({error})") from None
            parsed = tomllib.loads(f"{name} = '{value}'")
    except tomllib.TOMLDecodeError:
        raise UsageError(f"--set {name}: this is not a key; write KEY=VALUE, such as playbook.strength=0.5") from None
    values = flat(parsed)
    if "\n" in value or len(parsed) != 1:
        raise UsageError(f"--set {name}: one value, please; give --set once for each")
    return _Layer(values, {key: Origin(f"--set {name}") for key in values}, folder)


def _with_profile(
    layers: list[_Layer], profiles: Callable[[str], Mapping[str, Any]]
) -> tuple[list[_Layer], Mapping[str, Any]]:
    """Put the profile's layer right below the source that names it last; what the profile says comes with it."""
    naming = [(place, layer) for place, layer in enumerate(layers) if layer.values.get(("profile",))]
    if not naming:
        return layers, {}
    place, layer = naming[-1]
    name = _checked(("profile",), layer.values["profile",], layer.origins["profile",])
    origin = Origin(f"profile {name}", profile=True)
    said = profiles(name)
    values = flat(said)
    for key in values:
        if key[0] in ("home", "secrets", "profile"):
            raise UsageError(f"{origin}: a profile may not set {key[0]}")
    return [*layers[:place], _Layer(values, {key: origin for key in values}, layer.folder), *layers[place:]], said


def _checked(key: Key, value: Any, origin: Origin) -> Any:
    """Check a value of the kernel's; what is in a table is its plugin's business."""
    name = key[0]
    if name in SECRETS:
        raise UsageError(
            f"{at(origin)}{name} is a secret; it comes from the variable GOME_{name.upper()} or from the secrets file "
            '(secrets = "FILE")'
        )
    if key == ASKER[:1] and not isinstance(value, Mapping):
        raise UsageError(f"{at(origin)}{name} is a table; its plugin is named by {dotted(ASKER)}")
    if key == ASKER and not isinstance(value, str):
        raise UsageError(f"{at(origin)}{dotted(key)}: a text is wanted here")
    if name not in KEYS and name not in ROLES:
        if len(key) == 1 and not isinstance(value, Mapping):
            raise unknown(name, [*KEYS, *ROLES], origin)
        return value
    if name in NUMBERS and isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    wanted: Any = int if name in NUMBERS else str
    if len(key) > 1 or not isinstance(value, wanted) or isinstance(value, bool):
        raise UsageError(f"{at(origin)}{name}: {'a whole number' if wanted is int else 'a text'} is wanted here")
    if name in NUMBERS and value not in NUMBERS[name]:
        known = NUMBERS[name]
        why = f"{value} is none of {', '.join(map(str, known))}"
        if isinstance(known, range):
            low = value < known[0]
            why = f"at {'least' if low else 'most'} {known[0] if low else known[-1]} is wanted, not {value}"
        raise UsageError(f"{at(origin)}{name}: {why}")
    if name == "log_level" and value not in LEVELS:
        raise UsageError(f"{at(origin)}log_level: {value!r} is none of {', '.join(LEVELS)}")
    if name == "tenant" and not re.fullmatch(r"[A-Za-z0-9_-]{1,120}", value):
        raise UsageError(f"{at(origin)}tenant: {value!r} may hold letters, digits, _ and - only")
    if name == "nats" and not re.match(r"(nats|tls|wss?)://[^/]", str(value)):
        raise UsageError(f"{at(origin)}nats: {redact(str(value))!r} is not a URL such as nats://host:4222")
    public = not origin.source.startswith("variable")
    if name in ("nats", "artifacts") and public and re.search(r"://[^/]*@", str(value)):
        raise UsageError(f"{at(origin)}{name}: a URL in settings may not hold credentials; use {KEYS[name]}")
    return value


def _settings(
    values: Mapping[Key, Any],
    origins: Mapping[Key, Origin],
    folders: Mapping[Key, Path],
    environ: Mapping[str, str],
    folder: Path,
) -> Settings:
    def path(name: str) -> Path:
        return Path(os.path.abspath(folders[name,] / Path(values[name,]).expanduser()))

    named = {dotted(key): origin for key, origin in origins.items() if key in values}
    known = read_secrets(path("secrets")) if ("secrets",) in values else {}
    named |= {name: Origin(str(path("secrets"))) for name in known}
    found: dict[str, Any] = {}
    for name in SECRETS:
        variable = f"GOME_{name.upper()}"
        if environ.get(variable) or known.get(variable):
            found[name] = environ.get(variable) or known[variable]
            named[name] = Origin(f"variable {variable}" if environ.get(variable) else str(path("secrets")))
    for name, value in (*known.items(), ("", found.get("nats_token", ""))):
        if name != "GOME_NATS_USER":  # errors name the user
            learn(value)
    if (where := values.get(("artifacts",))) and "://" not in where:
        found["artifacts"] = str(path("artifacts"))
    elif where:
        found["artifacts"] = where
    for name in ("tenant", "log_level", "profile", "fallback", "traces"):
        if (name,) in values:
            found[name] = values[name,]
    return Settings(
        home=path("home") if ("home",) in values else Path(os.path.abspath(folder)) / ".gome",
        nats_url=values.get(("nats",), ""),
        capacity=values.get(("capacity",)) or cores(),
        replicas=values.get(("replicas",), 0),
        lease=values.get(("lease",), 30),
        roles={key[0]: values[key] for key in (*((role,) for role in ROLES), ASKER) if key in values},
        plugins=nested({k: v for k, v in values.items() if k[0] not in KEYS and k[0] not in ROLES and k != ASKER}),
        secrets=known,
        origins=named,
        **found,
    )

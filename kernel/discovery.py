"""Finding plugins: entry points to `Plugin` values, their pins, and the set that a run uses.

Built-in plugins come through the same door as a stranger's. A plugin that fails to load is a line in `gome plugins`
with its reason, and an error only when a run asks for it. `GOME_LOAD_PLUGINS` (comma-separated names) limits what is
loaded, for tests and for finding a culprit.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import msgspec

from gome.events import TYPES, Codec, CodecError, PluginPin
from gome.kernel.errors import PluginError
from gome.kernel.handover import handover, outgoing, standby
from gome.kernel.lifecycle import lifecycle
from gome.kernel.plugin import GROUPS, Plugin, Role
from gome.kernel.reasoning import as_plugin

RUN_ROLES: tuple[Role, ...] = ("search", "memory", "reasoner", "mutator", "runner", "scorer", "judge", "selection")
"""Roles that every run fills with exactly one plugin, in the order of the loop."""
OPTIONAL_ROLES: tuple[Role, ...] = ("completion",)
"""Roles that a run fills when somebody needs them."""
OWN = (lifecycle.name, handover.name)
"""Names of the kernel's own deciders."""


@dataclass(frozen=True)
class Found:
    """One entry point: what it names, and the plugin or why there is none."""

    group: str
    role: Role
    name: str
    target: str
    distribution: str
    version: str
    plugin: Plugin | None
    error: str = ""


def _load(entry: EntryPoint, role: Role) -> Plugin:
    value = entry.load()
    if isinstance(value, Plugin):
        plugin = value
    elif role == "reasoner" and (hasattr(value, "propose") or hasattr(value, "reflect")):
        plugin = _reasoner(entry, value() if isinstance(value, type) else value)
    elif callable(value):
        plugin = value()
    else:
        raise TypeError(f"it names a {type(value).__name__}, not a Plugin or a function that returns one")
    if not isinstance(plugin, Plugin):
        what = f"a {type(plugin).__name__}"
        if role == "reasoner":
            raise TypeError(f"it makes {what}, which is neither a Plugin nor has propose and reflect")
        hint = f"; a reasoner belongs into {GROUPS['reasoner']}" if hasattr(plugin, "propose") else ""
        raise TypeError(f"it makes {what}, not a Plugin{hint}")
    if plugin.role != role:
        raise TypeError(f"its role is {plugin.role}, but it is registered in {GROUPS[role]}")
    if plugin.name != entry.name:
        raise TypeError(f"it calls itself {plugin.name}, but is registered as {entry.name}")
    if plugin.effects and plugin.perform is None:
        raise TypeError("it declares effects but has no perform")
    if isinstance(plugin.needs, str) or not set(plugin.needs) <= set(OPTIONAL_ROLES):
        raise TypeError(f"its needs are {plugin.needs!r}; what can be needed is {OPTIONAL_ROLES!r}")
    return plugin


def _reasoner(entry: EntryPoint, reasoner: Any) -> Plugin:
    """A plugin around an object with `propose` and `reflect`; its text is the first line of its own or its module's."""
    for name in ("propose", "reflect"):
        function = getattr(reasoner, name, None)
        if not callable(function):
            raise TypeError(f"it has no {name}(context)")
        try:
            inspect.signature(function).bind(None)
        except TypeError as error:
            raise TypeError(f"its {name} does not take one argument, the context: {error}") from error
    text = type(reasoner).__doc__ or getattr(sys.modules.get(type(reasoner).__module__), "__doc__", None) or ""
    summary = next(iter(text.strip().splitlines()), "")
    needs = getattr(reasoner, "needs", ())
    needs = tuple(needs) if isinstance(needs, list) else needs
    return as_plugin(reasoner, name=entry.name, summary=summary, needs=needs, modules=(entry.module,))


def _astray(installed: Any) -> Iterator[Found]:
    """Entry points in groups that look like ours and are none, which nobody would ever load."""
    groups = {group: role for role, group in GROUPS.items()}
    for group in sorted(g for g in installed.groups if g.startswith("gome.") and g not in groups):
        near = difflib.get_close_matches(group, groups, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(groups)}"
        role = groups[near[0]] if near else "plugin"
        error = f"there is no group {group}; {hint}"
        for entry in sorted(installed.select(group=group)):
            distribution, version = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
            yield Found(group, role, entry.name, entry.value, distribution, version, None, error)


def discover() -> list[Found]:
    """Load every entry point of every role, in sorted order. Never raises: failures are in `Found.error`."""
    only = {n.strip() for n in os.environ.get("GOME_LOAD_PLUGINS", "").split(",") if n.strip()}
    found = []
    installed: Any = entry_points()  # once: it looks at every package that is installed
    for role, group in GROUPS.items():
        if role == "task":
            continue
        for entry in sorted(installed.select(group=group), key=lambda e: (e.name, e.value)):
            if only and entry.name not in only:
                continue
            plugin, error = None, ""
            try:
                plugin = _load(entry, role)
            except Exception as caught:  # a stranger's import may raise anything; the reason is shown, not swallowed
                error = f"{type(caught).__name__}: {caught}"
            dist = entry.dist
            found.append(
                Found(
                    group,
                    role,
                    entry.name,
                    entry.value,
                    dist.name if dist else "",
                    dist.version if dist else "",
                    plugin,
                    error,
                )
            )
    found += [f for f in _astray(installed) if not only or f.name in only]
    return found


def choose(
    found: Iterable[Found],
    named: Mapping[str, str],
    *,
    extra: Sequence[str] | None = None,
    fallbacks: Mapping[str, str] | None = None,
) -> list[Plugin]:
    """The plugins of a run: one per role (as `named`, else as a named one pairs with, else the role's default),
    optional roles where a chosen plugin needs them or somebody names one, and those of group `gome.plugins` (`extra`
    names them; None: all that load), preceded by the kernel's own. `fallbacks` maps roles to plugins that stand by.
    Raises `PluginError`."""
    available = list(found)
    chosen: list[Plugin] = [lifecycle]
    asked = [plugin_of(available, role, named[role]) for role in RUN_ROLES if named.get(role)]
    named = {**{role: name for plugin in asked for role, name in plugin.pairs.items()}, **named}
    for role in RUN_ROLES:
        chosen.append(plugin_of(available, role, named.get(role, "")))
    needed = {role for plugin in chosen for role in plugin.needs}
    for role in OPTIONAL_ROLES:
        if role in needed or named.get(role):
            chosen.append(plugin_of(available, role, named.get(role, "")))
    if "completion" in needed:
        chosen.append(handover)
    for handed in (r for r in RUN_ROLES if r in (fallbacks or {})):
        after = plugin_of(available, handed, (fallbacks or {})[handed])
        chosen = [outgoing(pinned_modules(p)) if p.role == handed else p for p in chosen]
        chosen.append(standby(pinned_modules(after)))
    for f in available:
        if f.role != "plugin" or (extra is not None and f.name not in extra):
            continue
        if f.plugin is not None and f.plugin.alone:
            continue
        if f.plugin is not None:
            chosen.append(f.plugin)
        elif extra is not None:
            raise PluginError(f"plugin {f.name} ({f.target}) does not load: {f.error}; see `gome plugins`")
    for name in extra or ():
        if not any(f.name == name and f.role == "plugin" for f in available):
            raise PluginError(f"there is no plugin {name}; `gome plugins` lists what is installed")
    names = [p.name for p in chosen]
    for name in names:
        if names.count(name) > 1:
            raise PluginError(f"two plugins of this run are called {name}; choose others with --set or uninstall one")
    return chosen


def alone(found: Iterable[Found], name: str) -> Plugin:
    """The one decider of a run of its own kind. Raises `PluginError` where it is not installed or does not load."""
    for f in found:
        if f.role == "plugin" and f.name == name:
            if f.plugin is None:
                raise PluginError(f"plugin {name} ({f.target}) does not load: {f.error}; see `gome plugins`")
            if f.plugin.alone:
                return f.plugin
    raise PluginError(f"there is no plugin {name} that has runs of its own; `gome plugins` lists what is installed")


def fallbacks_of(found: Iterable[Found], chosen: Sequence[Plugin], reasoner: str) -> dict[str, str]:
    """Who takes over when the model that a run's plugins need is gone: the named reasoner, and the defaults of the
    other roles that ask a model. Empty when none does. Raises `PluginError` for a reasoner that is not there and for a
    stand-in that needs a model itself."""
    available = list(found)
    plugin_of(available, "reasoner", reasoner)
    stand_ins: dict[str, str] = {}
    for plugin in chosen:
        if not plugin.needs:
            continue
        name = reasoner if plugin.role == "reasoner" else ""
        after = plugin_of(available, plugin.role, name)
        if after.needs:
            raise PluginError(f"{after.role} {after.name} cannot stand in for {plugin.name}: it needs a model itself")
        stand_ins[plugin.role] = after.name
    return stand_ins


def plugin_of(available: Sequence[Found], role: Role, name: str) -> Plugin:
    """The plugin of a role that has a name, or the role's default for "". Raises `PluginError`."""
    of_role = [f for f in available if f.role == role]
    if name:
        for f in of_role:
            if f.name == name:
                if f.plugin is None:
                    raise PluginError(f"{role} {name} ({f.target}) does not load: {f.error}; see `gome plugins`")
                return f.plugin
        have = ", ".join(f.name for f in of_role) or "none"
        raise PluginError(f"there is no {role} called {name}; installed: {have} (see `gome plugins`)")
    loaded = [f for f in of_role if f.plugin is not None]
    default = [f.plugin for f in loaded if f.plugin and f.plugin.default]
    if not default and len(loaded) == 1 and loaded[0].plugin:
        default = [loaded[0].plugin]
    if default:
        return default[0]
    broken = "; ".join(f"{f.name}: {f.error}" for f in of_role if f.error)
    why = f" ({broken})" if broken else ""
    raise PluginError(f"no default plugin for role {role}{why}; name one, or see `gome plugins`")


def codec_for(plugins: Iterable[Plugin]) -> Codec:
    """A codec that knows the types of `gome.events` and whatever these plugins emit."""
    try:
        return Codec((*TYPES, *(t for p in plugins for t in p.emits)))
    except CodecError as error:
        raise PluginError(str(error)) from error


@cache
def source_digest(package: str) -> str:
    """SHA-256 over the names and bytes of a package's (or module's) Python and data files; "" when it has no files."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return ""
    if spec.submodule_search_locations:
        roots = [Path(p) for p in spec.submodule_search_locations]
        files = sorted((p, r) for r in roots for p in r.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    else:
        files = [(Path(spec.origin), Path(spec.origin).parent)] if spec.origin else []
    sum = hashlib.sha256()
    for path, root in files:
        sum.update(f"{path.relative_to(root).as_posix()}\0".encode())
        sum.update(path.read_bytes())
    return sum.hexdigest()


def packages_of(plugin: Plugin) -> tuple[str, ...]:
    """The packages (or modules) whose source a plugin's pin covers, besides `gome.events`."""
    if plugin.modules:
        return plugin.modules
    module = (plugin.perform or plugin.decide).__module__
    return (module.rpartition(".")[0] or module,)


def pinned_modules(plugin: Plugin) -> Plugin:
    """The plugin with its packages written down, before its functions are wrapped by the kernel's."""
    return replace(plugin, modules=packages_of(plugin))


@cache
def kernel_digest() -> str:
    """SHA-256 over what a fold depends on beside plugins: this package, `gome.events`, Python and msgspec."""
    parts = [source_digest("gome.kernel"), source_digest("gome.events"), sys.version, msgspec.__version__]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def pin(plugin: Plugin) -> PluginPin:
    """A plugin as it is now: the digest covers its package and `gome.events`."""
    parts = [source_digest(p) for p in (*packages_of(plugin), "gome.events")]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return PluginPin(name=plugin.name, role=plugin.role, version=plugin.version, digest=digest, flags=plugin.flags)

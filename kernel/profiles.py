"""Profiles: sets of settings under a name, brought by plugins.

A profile is a TOML file `profiles/NAME.toml` in a plugin's package, written like a gome.toml. The packages are those
that entry points name, so a profile is there as soon as its plugin is installed. `gome.kernel.settings` lays a profile
under the source that names it.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable
from importlib.metadata import entry_points
from importlib.resources.abc import Traversable
from typing import Any

from gome.kernel.errors import UsageError
from gome.kernel.plugin import GROUPS
from gome.kernel.settings_file import parse
from gome.kernel.settings_plugins import unknown


def plugin_packages() -> list[str]:
    """Return the modules that entry points of plugins name, sorted."""
    return sorted({entry.module for group in GROUPS.values() for entry in entry_points(group=group)})


def profiles(packages: Iterable[str] | None = None) -> dict[str, list[Traversable]]:
    """Return the profile files of packages (of all plugins by default) by name; a name may have several."""
    found: dict[str, list[Traversable]] = {}
    for package in plugin_packages() if packages is None else packages:
        try:
            files = [file for file in (importlib.resources.files(package) / "profiles").iterdir() if file.is_file()]
        except Exception:  # a plain module, no profiles in it, or a stranger's import fails: `gome plugins` tells why
            continue
        for file in files:
            name, dot, kind = file.name.rpartition(".")
            if dot and kind == "toml" and file not in found.setdefault(name, []):
                found[name].append(file)
    return found


def find_profile(name: str, packages: Iterable[str] | None = None) -> dict[str, Any]:
    """Return the settings that a profile stands for.

    Raises `UsageError` when no package has it (with the nearest names), when several do, or when it is not TOML.
    """
    known = profiles(packages)
    files = known.get(name, [])
    if not files:
        raise unknown(name, known, None, "there is no such profile")
    if len(files) > 1:
        raise UsageError(f"profile {name} is ambiguous: {' and '.join(str(file) for file in files)}")
    return parse(files[0].read_text(encoding="utf-8"), str(files[0]))

"""Which Python runs programs: gome's own, or one named by the setting `python`, asked once what it is.

Everything that is specific to an interpreter is here: its folders (which `world.py` shows), the paths that tracebacks
name, the versions of its libraries. `plan.py` and `perform.py` ask for one by the setting.
"""

from __future__ import annotations

import json
import os
import platform
import site
import subprocess
import sys
import sysconfig
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from typing import Any

from gome.kernel.errors import SandboxUnavailable

LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy", "lightgbm", "torch")
"""Whose versions are recorded with each execution."""

_ASK = f"""
import json, platform, site, sys, sysconfig
from importlib import metadata
versions = {{"python": platform.python_version()}}
for name in {LIBRARIES!r}:
    try: versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError: pass
used = site.ENABLE_USER_SITE and site.getusersitepackages() in sys.path
print(json.dumps({{
    "prefixes": [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix],
    "paths": {{n: sysconfig.get_paths()[n] for n in ("purelib", "platlib", "stdlib", "platstdlib")}},
    "version": list(sys.version_info[:2]), "versions": versions,
    "user_base": site.getuserbase() if used else "", "user_site": site.getusersitepackages() if used else "",
}}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python: `paths` are its library folders by sysconfig's names, `versions` those of the libraries that it has,
    `user_base` and `user_site` the user's own packages where it uses them ("" else)."""

    executable: str
    prefixes: tuple[str, ...]
    version: tuple[int, int]
    paths: dict[str, str] = field(hash=False)
    versions: dict[str, str] = field(hash=False)
    user_base: str = ""
    user_site: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is the one that gome runs by, whose libraries the zygote has imported."""
        return self.executable == sys.executable

    @property
    def needed(self) -> list[str]:
        """What a program must be able to read for it to start."""
        wanted = (self.executable, self.paths["stdlib"], self.paths["purelib"])
        return [path for path in wanted if os.path.exists(path)]


@lru_cache(maxsize=8)
def interpreter(python: str = "") -> Interpreter:
    """The interpreter at an absolute path, gome's own for "". Raises SandboxUnavailable when it is none."""
    if not python or python == sys.executable:
        return _own()
    executable, command = python, [python, "-c", _ASK]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/", env=_environment())
        found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise SandboxUnavailable(f"sandbox.python is {executable}, which does not run as a Python: {error}") from error
    if not found:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise SandboxUnavailable(f"sandbox.python is {executable}, which does not run as a Python: {said}")
    return Interpreter(
        executable=executable,
        prefixes=tuple(dict.fromkeys(found["prefixes"])),
        version=(found["version"][0], found["version"][1]),
        paths=found["paths"],
        versions=found["versions"],
        user_base=found["user_base"],
        user_site=found["user_site"],
    )


def _own() -> Interpreter:
    used = site.ENABLE_USER_SITE and site.getusersitepackages() in sys.path
    paths = sysconfig.get_paths()
    return Interpreter(
        executable=sys.executable,
        prefixes=tuple(dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix))),
        version=sys.version_info[:2],
        paths={name: paths[name] for name in ("purelib", "platlib", "stdlib", "platstdlib")},
        versions={"python": platform.python_version(), **_versions()},
        user_base=site.getuserbase() if used else "",
        user_site=site.getusersitepackages() if used else "",
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _environment() -> dict[str, str]:
    """What the question is asked with: nothing of ours but the home folder, in which a user's packages lie."""
    return {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}

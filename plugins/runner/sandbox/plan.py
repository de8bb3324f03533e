"""From an execution's limits to the launcher's plan: one JSON value that says everything about a start.

Looks at ids and paths of this machine and writes the few files of the sandbox's /etc; starts nothing.
`processes.run` hands the plan to the launcher.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from gome.events import Limits
from gome.plugins.runner.sandbox import seccomp, world
from gome.plugins.runner.sandbox.interpreter import Interpreter
from gome.plugins.runner.sandbox.starting import LAUNCHER
from gome.plugins.runner.sandbox.world import Mount

Kind = Literal["bubblewrap", "namespaces", "none"]
"""How programs are isolated; `none` means limits and tree kill only."""

INSIDE = 1000
"""User id that a program sees itself as."""

WORK = "/work"
"""Where the working folder is inside."""


def privileged() -> bool:
    """Whether we hold root's rights over this machine's mounts and ids, not just root's name in a container."""
    needed = (0, 1, 5, 6, 7, 21)  # CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID, SYS_ADMIN
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    held = int(status.partition("CapEff:")[2].split()[0], 16)
    return os.geteuid() == 0 and all(held >> bit & 1 for bit in needed)


def outer_id() -> int:
    """The unprivileged id that programs get when root runs gome: one of systemd's dynamic range, which belongs to
    nobody on disk, different for gome processes side by side; `nobody` where that range is not mapped."""
    wanted = 61184 + os.getpid() % 4096
    try:
        ranges = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except OSError:
        return wanted
    return wanted if any(start <= wanted < start + count for start, _, count in ranges) else 65534


def environment(
    *,
    home: str,
    seed: int,
    partition: int,
    debug: bool,
    gpu: Mapping[str, str],
    threads: int,
    python: Interpreter,
) -> dict[str, str]:
    """All that a program finds in its environment; `gpu` says which card, see `cards.environment`."""
    values = {
        "PATH": ":".join(dict.fromkeys((os.path.dirname(python.executable), "/usr/local/bin", "/usr/bin", "/bin"))),
        "HOME": home,
        "TMPDIR": "/tmp" if home == WORK else home,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLCONFIGDIR": home,
        "GOME_THREADS": str(threads),
        "GOME_SEED": str(seed),
        "GOME_PARTITION": str(partition),
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "NUMEXPR_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        **gpu,
    }
    if debug:
        values["GOME_DEBUG"] = "1"
    if python.user_base:
        values["PYTHONUSERBASE"] = python.user_base
    return values


def rlimits(limits: Limits, *, tasks: int = 0) -> dict[str, int]:
    """Limits of a single process. Address space is not among them: numpy and OpenBLAS reserve far more than they use;
    the watchdog and the cgroup look at resident memory instead. `tasks` are added where others' tasks count as well."""
    return {
        "NPROC": limits.processes + tasks,
        "NOFILE": 4096,
        "FSIZE": limits.disk_mb << 20,
        "CPU": int(limits.seconds * max(1, limits.cores)) + 5,
        "CORE": 0,
    }


def mounts(
    box: Path,
    inputs: Path,
    etc: Path,
    limits: Limits,
    hide: Sequence[str],
    folders: Sequence[str],
    python: Interpreter,
    graphics: Sequence[str] = (),
) -> list[Mount]:
    """Every mount of the program's root, in order; `graphics` are the device files of its card."""
    found = [*world.base(tuple(hide), tuple(folders), python)]
    found += world.devices(limits.memory_mb, graphics)
    found += [("ro", str(path), f"/etc/{path.name}", "") for path in sorted(etc.iterdir())]
    found += [("rw", str(box), WORK, ""), ("ro", str(inputs), f"{WORK}/input", "")]
    return world.ordered(found)


def write_etc(etc: Path, uid: int) -> None:
    """Write the few files of /etc that name users and hosts, with nothing of this machine in them."""
    etc.mkdir(parents=True, exist_ok=True)
    ids = dict.fromkeys((INSIDE, uid))
    (etc / "passwd").write_text("".join(f"gome{i or ''}:x:{n}:{n}::{WORK}:/bin/sh\n" for i, n in enumerate(ids)))
    (etc / "group").write_text("".join(f"gome{i or ''}:x:{n}:\n" for i, n in enumerate(ids)))
    (etc / "hosts").write_text("127.0.0.1 localhost\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")


def bubblewrap(bwrap: str, places: Sequence[Mount], *, modern: bool) -> list[str]:
    """Command line of bubblewrap for these mounts, up to the launcher's own arguments."""
    line = [bwrap, "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1"]
    line += ["--uid", str(INSIDE), "--gid", str(INSIDE), "--hostname", "gome", "--cap-drop", "ALL"]
    line += ["--disable-userns"] if modern else []
    for kind, source, target, detail in places:
        if kind in ("ro", "rw", "dev"):
            line += [{"ro": "--ro-bind", "rw": "--bind", "dev": "--dev-bind"}[kind], source, target]
        elif kind == "link":
            line += ["--symlink", source, target]
        elif kind == "proc":
            line += ["--proc", target]
        elif kind == "hide":
            line += ["--tmpfs", target, "--remount-ro", target]
        else:
            options = dict(part.split("=") for part in detail.split(","))
            size = int(options["size"][:-1]) << {"k": 10, "m": 20}[options["size"][-1]]
            line += ["--size", str(size)] if modern else []
            line += ["--perms", options["mode"], "--tmpfs", target]
    inside = "/run/gome/launcher.py"
    line += ["--ro-bind", str(LAUNCHER), inside, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK]
    return [*line, sys.executable, "-I", "-S", inside]


def plan(kind: Kind, folder: Path, command: list[str] | None, limits: Limits, **parts: Any) -> dict[str, Any]:
    """The launcher's plan for an execution's folder (`box`, `input`, `etc`, `root` must exist below it). Without a
    command the sandbox is made and left at once. `parts` replaces values: `env`, `cpus`, `cgroups`, `rlimits`."""
    root = privileged()
    uid = outer_id() if root else os.geteuid()
    isolated = kind != "none"
    values: dict[str, Any] = {
        "kind": kind,
        "privileged": root,
        "uid": uid,
        "gid": uid,
        "inside": INSIDE,
        "root": str(folder / "root"),
        "report": str(folder / "report"),
        "mounts": [],
        "cgroups": [],
        "command": command,
        "needed": [],
        "env": {},
        "cwd": WORK if isolated else str(folder / "box"),
        "rlimits": rlimits(limits),
        "filter": seccomp.encoded(graphics=limits.gpus > 0),
        "cpus": [],
        "bwrap": [],
    }
    return {**values, **parts}


def enclosed(
    kind: Kind,
    folder: Path,
    command: list[str] | None,
    limits: Limits,
    *,
    hide: Sequence[str],
    home: Path,
    python: Interpreter,
    graphics: Sequence[str] = (),
    **parts: Any,
) -> dict[str, Any]:
    """A plan with a root of its own. `hide` names packages to cover, `home` a folder that must not be seen; `python` is
    shown."""
    write_etc(folder / "etc", outer_id() if privileged() else os.geteuid())
    places = mounts(folder / "box", folder / "input", folder / "etc", limits, hide, [str(home)], python, graphics)
    parts["needed"] = python.needed
    if kind == "bubblewrap":
        executable, modern = bubblewrap_found()
        parts["bwrap"] = bubblewrap(executable, places, modern=modern)
    else:
        parts["mounts"] = places
    return plan(kind, folder, command, limits, **parts)


@lru_cache(maxsize=1)
def bubblewrap_found() -> tuple[str, bool]:
    """Path of bubblewrap ("" when there is none) and whether it is version 0.8 or newer, which can limit the size of
    memory files and forbid further user namespaces."""
    executable = shutil.which("bwrap") or ""
    if not executable:
        return "", False
    done = subprocess.run([executable, "--version"], capture_output=True, text=True, check=False, timeout=5)
    numbers = [int(n) for n in re.findall(r"\d+", done.stdout)]
    return executable, numbers[:2] >= [0, 8]

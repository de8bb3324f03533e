"""An image for containers made of the interpreter that runs the tests: nothing is pulled, nothing is built."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = ("site-packages", "dist-packages", "test", "idlelib", "ensurepip", "lib2to3", "tkinter", "turtledemo")


def libraries(programs: list[Path]) -> Iterator[Path]:
    """The shared libraries that programs and modules need, the dynamic loader included."""
    listed = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    for path in sorted(set(re.findall(r"(/\S+) \(0x", listed))):
        yield Path(path)


def write_image(path: Path) -> None:
    """Write the files of a root with Python's standard library and `python` on the PATH, as a tar file."""
    executable = Path(sys.executable).resolve()
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    modules = sorted((stdlib / "lib-dynload").glob("*.so"))

    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = os.path.basename(entry.name)
        entry.uid = entry.gid = 0
        return None if name in LEFT_OUT or name.startswith("config-") else entry

    with tarfile.open(path, "w") as tar:
        for folder in ("tmp", "work", "proc", "dev", "sys", "etc", "gome", *_above(stdlib)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        tar.add(stdlib, str(stdlib), filter=kept)
        for program in (executable, *libraries([executable, *modules])):
            tar.add(os.path.realpath(program), str(program))
        link = tarfile.TarInfo("usr/local/bin/python")
        link.type, link.linkname = tarfile.SYMTYPE, str(executable)
        tar.addfile(link)


def _above(path: Path) -> list[str]:
    return [str(folder).lstrip("/") for folder in reversed(path.parents) if folder != folder.parent]

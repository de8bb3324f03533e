"""How a test runs Python as an ordinary user who can import gome, although the tests may be run by root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

import gome.events


@contextmanager
def as_stranger() -> Iterator[list[str]]:
    """A command that runs Python as an ordinary user who can import gome: us, or `nobody` when we are root. Skips the
    test where root's Python cannot be lent to others."""
    if os.geteuid() != 0:
        yield [sys.executable]
        return
    # Root's interpreter and folders are usually closed to others: use the system's Python with our packages.
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    python = shutil.which(f"python{version}", path="/usr/bin:/usr/local/bin")
    if not python or not shutil.which("setpriv"):
        pytest.skip(f"root, but no system Python {version} or no setpriv")
    folder = Path(tempfile.mkdtemp(prefix="gome-as-user-"))
    try:
        folder.chmod(0o755)
        (folder / "gome").mkdir()
        for name in ("events", "kernel", "plugins"):
            source = Path(next(iter(gome.events.__path__))).parent / name
            (folder / "gome" / name).symlink_to(source)
        path = f"{folder}:{Path(msgspec.__file__).parent.parent}"
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "-i", f"PYTHONPATH={path}"]
        user += [f"PATH={os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE=1", python]
        seen = subprocess.run([*user, "-c", "import gome.kernel.plugin, pytest"], capture_output=True, text=True)
        if seen.returncode:
            pytest.skip(f"an ordinary user cannot import gome here: {seen.stderr.strip().splitlines()[-1]}")
        yield user
    finally:
        shutil.rmtree(folder)

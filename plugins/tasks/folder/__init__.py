"""A folder with tables and a small `task.toml`: `gome run ./houses`. Found through the entry point `folder`.

What the file may say is in `file.py`, which also writes one (`gome tasks new`).
"""

from __future__ import annotations

import os
from pathlib import Path

from gome.kernel.tasks import Finding, PreparedTask, TaskOptions

FILE = "task.toml"


class Folder:
    """Task source for a folder (or its task.toml). Options given beside it win over what the file says."""

    name = "folder"
    summary = f"own data: a folder with {FILE} (`gome tasks new` writes it)"

    def matches(self, spec: str) -> bool:
        path = Path(spec)
        if path.name == FILE:
            return True
        return path.is_dir() and (os.sep in spec or spec in (".", "..") or (path / FILE).exists())

    def names(self) -> list[tuple[str, str]]:
        return []

    def prepare(self, spec: str, options: TaskOptions, folder: Path) -> PreparedTask:
        from gome.plugins.tasks.folder.file import read_wish
        from gome.plugins.tasks.tables.prepare import prepare

        path = Path(spec)
        return prepare(read_wish(path if path.name == FILE else path / FILE, options), folder)

    def check(self, prepared: PreparedTask) -> list[Finding]:
        from gome.plugins.tasks.check import check

        return check(prepared)


source = Folder()

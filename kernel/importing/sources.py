"""Which kind of recorded run a path is, by what is in it, and taking it in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from gome.kernel.errors import UsageError
from gome.kernel.importing.aide import journal_of, read_journal
from gome.kernel.importing.rdagent import is_log, read_log
from gome.kernel.importing.sniff import is_traces

if TYPE_CHECKING:
    from gome.kernel.connect import Connection
    from gome.kernel.importing.report import Report
    from gome.kernel.importing.take import Progress

KINDS = (
    'a traces file begins with {"<competition>": {"scenario": …; an AIDE journal with {"nodes": … (or name its '
    "folder); an RD-Agent log folder holds Loop_0, Loop_1, …, a folder of its workspaces a main.py in each"
)
"""What can be imported, for messages to people."""


def check(path: Path) -> None:
    """Raise `UsageError` for a path that is nothing that can be imported."""
    if not path.exists():
        raise UsageError(f"there is no file or folder {path}")
    if journal_of(path) is None and not (is_log(path) if path.is_dir() else is_traces(path)):
        raise UsageError(f"{path} is no recorded run that is known here: {KINDS}")


async def take_in(connection: Connection, path: Path, *, progress: Progress | None = None) -> Report:
    """Import a path of any kind that passes `check`. Raises `UsageError` where it cannot be read at all."""
    from gome.kernel.importing.converted import import_converted
    from gome.kernel.importing.take import import_file

    if (journal := journal_of(path)) is not None:
        return await import_converted(connection, path, await to_thread.run_sync(read_journal, journal))
    if path.is_dir():
        return await import_converted(connection, path, await to_thread.run_sync(read_log, path))
    return await import_file(connection, path, progress=progress)

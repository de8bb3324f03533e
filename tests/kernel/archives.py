"""Archives for tests: homes whose logs are in memory, a recorded run with grades, and ways to export and import it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from gome.events import Sealed, Trajectory
from gome.kernel.archive import Archive
from gome.kernel.archive_export import Exporter
from gome.kernel.archive_import import Importer, Taken
from gome.kernel.cli.opening import folded
from gome.kernel.connect import Connection, connect
from gome.kernel.settings import load
from gome.kernel.testing import Killed
from tests.kernel import recorded

RUN = "toy-done"


@contextlib.asynccontextmanager
async def home(folder: Path) -> AsyncIterator[Connection]:
    """An empty home whose log lies in memory."""
    async with connect(load(environ={}, flags={"home": str(folder)}), memory=True) as connection:
        yield connection


async def make(folder: Path, *, steps: int = 6) -> Path:
    """An archive of a finished run with its hidden grades, `folder/done.gome`, and one without, `folder/plain.gome`."""
    async with home(folder / "home") as connection:
        await recorded.record(connection, RUN, steps=steps)
        with suppress(Killed):
            await recorded.record(connection, "toy-open", stop_after=9)
        await Exporter(connection, set(), grades=True).write([RUN], folder / "done.gome")
        await Exporter(connection, set()).write([RUN], folder / "plain.gome")
        await Exporter(connection, set()).write(["toy-open", RUN], folder / "both.gome")
    return folder / "done.gome"


async def take(connection: Connection, path: Path, trust: str = "") -> Taken:
    """Import an archive."""
    with Archive(path) as archive:
        return await Importer(connection, archive, trust).take()


async def everything(connection: Connection, run: str = RUN, *, grades: bool = False) -> list[Sealed]:
    """All records of a run."""
    log = connection.vault if grades else connection.log
    return [record async for record in log.read(run)] if (await log.head(run)).seq else []


async def trajectory(connection: Connection, run: str = RUN) -> Trajectory:
    """A run's fold."""
    return (await folded(connection, run)).trajectory


def rewrite(source: Path, target: Path, change: dict[str, bytes | None] | None = None, *, named: bool = True) -> Path:
    """Copy an archive with some members changed, added, or (None) left out. `named` brings the manifest up to date with
    what was changed, as a forger would."""
    change = dict(change or {})
    with zipfile.ZipFile(source) as old:
        members = {name: old.read(name) for name in old.namelist()}
    for name, data in change.items():
        if data is None:
            members.pop(name)
        else:
            members[name] = data
    if named and "manifest.json" not in change:
        manifest = json.loads(members["manifest.json"])
        manifest["members"] = [
            {"name": n, "size": len(d), "sha256": hashlib.sha256(d).hexdigest()}
            for n, d in members.items()
            if n not in ("manifest.json", "signature.json")
        ]
        members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(target, "w") as new:
        for name, data in members.items():
            new.writestr(name, data)
    return target

"""Writing archives: runs of a log with the artifacts that they name, as one file whose bytes depend on nothing else.

Everything is gathered and checked first (records into a scratch folder beside the file, artifacts where they lie), so
that a secret or a damaged record ends the export before the archive is begun; then it is written under another name and
moved to its place at once. Memory holds digests, one piece of a file and one record. The command is `cli.export`.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from anyio import to_thread

from gome.events import Head, Sealed
from gome.kernel.archive import (
    ARTIFACTS,
    FORMAT,
    MANIFEST,
    MANIFEST_LIMIT,
    MEMBERS,
    PIECE,
    SIGNATURE,
    ArchivedRun,
    Chain,
    Manifest,
    Member,
    records_of,
)
from gome.kernel.archive_secrets import Scanner
from gome.kernel.errors import GomeError, UsageError

if TYPE_CHECKING:
    from gome.kernel.connect import Connection
    from gome.kernel.log import EventLog

_FILE = re.compile(rb'"digest":"(sha256-[0-9a-f]{64})","size"')
_TEXT = re.compile(rb'"\$ref":"(sha256-[0-9a-f]{64})"')
"""A text that was moved out; its size stands behind it or, where the text had said it before, in front of it."""
_WHEN = (1980, 1, 1, 0, 0, 0)
_SHOWN = 10
"""Findings that a refusal lists."""


@dataclass
class Exported:
    """What an export wrote: runs, the number of artifacts, bytes of the file; `left_out` counts files that it was told
    to leave out, `lacking` are artifacts that the store did not have or not whole."""

    runs: tuple[ArchivedRun, ...]
    artifacts: int
    size: int
    left_out: int
    lacking: tuple[str, ...]


@dataclass
class _Part:
    """Records of one run (or of its grades), as they lie in the scratch folder."""

    run: str
    path: Path
    head: Head
    records: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def chain(self) -> Chain:
        return Chain(self.records, self.head.seq, self.head.hash)


class Exporter:
    """Gathers runs of a connection and writes them. `data` says whether the files that runs read and wrote come along
    (programs and texts always do), `grades` whether hidden grades do; `known` are the secrets to look for."""

    def __init__(self, connection: Connection, known: set[str], *, data: bool = True, grades: bool = False) -> None:
        self.connection = connection
        self.scanner = Scanner(known)
        self.data = data
        self.grades = grades
        self._runs: dict[str, _Part] = {}
        self._graded: dict[str, _Part] = {}
        self._named: dict[str, tuple[str, int, str]] = {}
        self._left_out: set[str] = set()
        self._found: list[str] = []

    async def write(self, runs: Sequence[str], target: Path, sign: Callable[[bytes], bytes] | None = None) -> Exported:
        """Write an archive of some runs. `sign` makes the signature's member from the manifest's bytes. Raises
        `UsageError` when the file cannot be written or a secret was found, and what reading the log raises."""
        try:
            with tempfile.TemporaryDirectory(prefix=".gome-", dir=target.parent) as scratch:
                folder = Path(scratch)
                for run in runs:
                    await self._gather(self.connection.log, run, folder, self._runs)
                for run in sorted(self._runs) if self.grades else ():
                    if (await self.connection.vault.head(run)).seq:
                        await self._gather(self.connection.vault, run, folder, self._graded)
                return await to_thread.run_sync(self._finish, set(runs), target, folder, sign)
        except OSError as error:
            raise UsageError(f"cannot write {target}: {error.strerror or error}") from error

    async def _gather(self, log: EventLog, run: str, folder: Path, parts: dict[str, _Part]) -> None:
        """Copy a run's records, and those of the runs that it was forked from as far as it shares them: a log that
        knows of forks yields them first, each under the name of the run that holds it."""
        kind = "grades" if parts is self._graded else "run"
        part: _Part | None = None
        with ExitStack() as opened:
            async with aclosing(log.read(run)) as records:  # type: ignore[type-var]
                async for sealed in records:
                    name = sealed.body.run
                    if part is None or part.run != name:
                        opened.close()
                        part = parts.setdefault(name, _Part(name, folder / f"{name}.{kind}", Head(name)))
                        file = opened.enter_context(open(part.path, "ab"))
                    if sealed.last > part.head.seq:
                        self._look(sealed)
                        line = sealed.stored + b"\n"
                        file.write(line)
                        part.digest.update(line)
                        part.records, part.head = part.records + 1, sealed.head

    def _look(self, sealed: Sealed) -> None:
        """Remember the artifacts that a record names, and scan it."""
        for wire in sealed.body.events:
            payload = bytes(wire.payload)
            for digest in _FILE.findall(payload):
                name = digest.decode()
                if not self.data:
                    self._left_out.add(name)
                else:
                    self._named.setdefault(name, (sealed.body.run, sealed.body.seq, wire.type))
            for digest in _TEXT.findall(payload):
                self._named.setdefault(digest.decode(), (sealed.body.run, sealed.body.seq, wire.type))
        if kind := self.scanner.kind(sealed.stored):
            at = [e for e in enumerate(sealed.body.events) if self.scanner.kind(bytes(e[1].payload))]
            place, what = (at[0][0], at[0][1].type) if at else (0, "its record")
            self._found.append(f"run {sealed.body.run}, event {sealed.body.seq + place} ({what}): {kind}")

    def _finish(self, asked: set[str], target: Path, folder: Path, sign: Callable[[bytes], bytes] | None) -> Exported:
        self._left_out -= set(self._named)
        artifacts, lacking = self._artifacts()
        if self._found:
            more = f" and {len(self._found) - _SHOWN} more" if len(self._found) > _SHOWN else ""
            raise UsageError(
                f"nothing was written, for there are secrets: {'; '.join(self._found[:_SHOWN])}{more}. The log keeps "
                "what it has: make the keys invalid where they were issued; a run with one in it is not exported"
            )
        files: dict[str, Path] = {}
        members: list[Member] = []
        for parts, grades in ((self._runs, False), (self._graded, True)):
            for run, part in parts.items():
                name = records_of(run, grades=grades)
                files[name] = part.path
                members.append(Member(name, part.path.stat().st_size, part.digest.hexdigest()))
        for digest, (path, size) in artifacts.items():
            files[ARTIFACTS + digest] = path
            members.append(Member(ARTIFACTS + digest, size, digest.removeprefix("sha256-")))
        runs = tuple(
            ArchivedRun(run, part.chain, run in asked, self._graded[run].chain if run in self._graded else None)
            for run, part in sorted(self._runs.items())
        )
        order = sorted(members, key=lambda m: (m.name.startswith(ARTIFACTS), not m.name.startswith("runs/"), m.name))
        manifest = Manifest(
            format=FORMAT,
            gome=metadata.version("gome"),
            runs=runs,
            members=tuple(order),
            left_out=tuple(sorted(self._left_out)),
            lacking=lacking,
        )
        data = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
        if len(members) > MEMBERS - 2 or len(data) > MANIFEST_LIMIT:
            raise UsageError(f"{len(members):,} members do not fit into one archive: export fewer runs at a time")
        signature = sign(data) if sign else None
        _zip(target, folder, data, signature, [(m, files[m.name]) for m in order])
        return Exported(runs, len(artifacts), target.stat().st_size, len(self._left_out), lacking)

    def _artifacts(self) -> tuple[dict[str, tuple[Path, int]], tuple[str, ...]]:
        """Where the named artifacts lie and how large they are, checked and scanned; and those that are not whole."""
        found: dict[str, tuple[Path, int]] = {}
        lacking: list[str] = []
        for digest in sorted(self._named):
            if not self.connection.artifacts.has(digest):
                lacking.append(digest)
                continue
            path = self.connection.artifacts.path(digest)
            hashed, size = hashlib.sha256(), 0

            def pieces(path: Path = path, hashed: hashlib._Hash = hashed) -> Iterator[bytes]:
                for piece in _pieces(path):
                    hashed.update(piece)
                    yield piece

            reading = pieces()
            if kind := self.scanner.kind_in(reading):
                run, seq, what = self._named[digest]
                self._found.append(f"run {run}, the record at event {seq} ({what}), artifact {digest[:20]}…: {kind}")
                continue
            size = path.stat().st_size
            if "sha256-" + hashed.hexdigest() != digest:
                lacking.append(digest)
                continue
            found[digest] = (path, size)
        return found, tuple(lacking)


def _zip(
    target: Path, folder: Path, manifest: bytes, signature: bytes | None, files: Sequence[tuple[Member, Path]]
) -> None:
    """Write the members in order, stored, with nothing in their headers that depends on when or where; each must still
    be what the manifest says."""
    path = folder / "archive"
    with open(path, "wb") as out:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, strict_timestamps=True) as archive:
            archive.writestr(_info(MANIFEST, len(manifest)), manifest)
            if signature is not None:
                archive.writestr(_info(SIGNATURE, len(signature)), signature)
            for member, source in files:
                hashed = hashlib.sha256()
                with archive.open(_info(member.name, member.size), "w") as sink:
                    for piece in _pieces(source):
                        hashed.update(piece)
                        sink.write(piece)
                if hashed.hexdigest() != member.sha256:
                    raise GomeError(f"{source} changed while it was being exported; try again")
        out.flush()
        os.fsync(out.fileno())
    os.replace(path, target)
    parent = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _info(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _WHEN)
    info.create_system, info.external_attr, info.file_size = 3, 0o644 << 16, size
    return info


def _pieces(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            yield piece

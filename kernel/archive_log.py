"""An archive as everything that reads runs knows it: an event log, a vault and a store, without a server.

`archived` opens one; the command line's `opening.reading` hands it to verbs. Only files that somebody asks a path for
are unpacked, into a scratch folder that is gone afterwards; nothing can be appended.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import NoReturn

from anyio import to_thread

from gome.events import Draft, Head, RecordError, Sealed, digest_of, unseal
from gome.kernel.archive import ARTIFACTS, LINE_LIMIT, PIECE, Archive, records_of
from gome.kernel.artifacts import ArtifactDamaged, ArtifactStore
from gome.kernel.connect import Connection
from gome.kernel.errors import LogDamaged, UsageError
from gome.kernel.fork import WholeLog
from gome.kernel.log import Known, run_by_run
from gome.kernel.log_checks import behind, check_name, check_next, damaged, unknown_run
from gome.kernel.spool import Spool
from gome.kernel.timekeeping import RealTime


class ArchiveLog:
    """The runs of an archive (or their hidden grades) as an `EventLog` that cannot be written. A record's revision is
    its 1-based place in its run."""

    def __init__(self, archive: Archive, *, grades: bool = False) -> None:
        self.archive = archive
        self.name = str(archive.path)
        self._grades = grades
        self._heads: dict[str, Head] = {}

    async def append(self, draft: Draft, head: Head) -> NoReturn:
        """Refused: an archive is finished."""
        raise self._finished()

    async def adopt(self, record: Sealed, head: Head) -> NoReturn:
        """Refused: an archive is finished."""
        raise self._finished()

    def _finished(self) -> UsageError:
        return UsageError(f"{self.name} is an archive and cannot be written; `gome import {self.name}` takes it in")

    async def read(self, run: str, after: Head | None = None) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.read`."""
        name = self._member(run)
        if name not in self.archive.entries:
            raise unknown_run(run, self.name)
        at = after or Head(run)
        skip, place = at.revision, 0
        batches = self.archive.batches(name)
        while (batch := await to_thread.run_sync(next, batches, None)) is not None:
            lines, ended = batch
            if not ended:
                raise damaged(at, "its line is cut off", self.name)
            if place + len(lines) <= skip:
                place += len(lines)
                continue
            for line in lines[max(0, skip - place) :]:
                record = check_next(line, at, at.revision + 1, self.name)
                at = record.head
                yield record
            place += len(lines)
        if place < skip:
            raise behind(at, Head(run, 0, revision=place), self.name)
        self._check_end(run, at)

    def _check_end(self, run: str, at: Head) -> None:
        """Records that the manifest promises and that are not there are lost."""
        manifest = self.archive.manifest
        for known in manifest.runs if manifest else ():
            chain = known.grades if self._grades else known.chain
            if known.run == run and chain is not None and (chain.seq, chain.hash) != (at.seq, at.hash):
                raise damaged(at, f"the manifest says that it ends at {chain.seq} with {chain.hash[:12]}", self.name)

    def scan(self, heads: Mapping[str, Head]) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.scan`."""
        return run_by_run(self, heads)

    async def follow(
        self, run: str, after: Head | None = None, known: Known | None = None
    ) -> AsyncGenerator[Sealed, None]:
        """Like `read`, and then the end: nothing more will come."""
        async with aclosing(self.read(run, max(after or Head(run), known() if known else Head(run), key=_seq))) as all_:
            async for record in all_:
                yield record

    async def head(self, run: str) -> Head:
        """See `EventLog.head`. Looks at the last line only; raises `LogDamaged` where that is no record."""
        if self._member(run) not in self.archive.entries:
            return Head(run)
        if run not in self._heads:
            self._heads[run] = await to_thread.run_sync(self._head, run)
        return self._heads[run]

    def _head(self, run: str) -> Head:
        name = self._member(run)
        line, count = b"", self._records(run)
        size = self.archive.entries[name].size
        if not size:
            return Head(run)
        held = PIECE
        while True:
            tail = b"".join(self.archive.pieces(name, max(0, size - held)))
            before = tail[:-1].rfind(b"\n")
            if before >= 0 or held >= size:
                line = tail[before + 1 : -1]
                break
            if held > LINE_LIMIT:
                break
            held *= 4
        try:
            if not tail.endswith(b"\n"):
                raise RecordError("it is cut off")
            return unseal(line, count).head
        except (RecordError, RecursionError) as error:
            raise LogDamaged(
                f"the last record of run {run} in {self.name} is damaged: {error}; `gome import {self.name}` keeps "
                "what precedes it",
                run=run,
            ) from error

    def _records(self, run: str) -> int:
        manifest = self.archive.manifest
        for known in manifest.runs if manifest else ():
            chain = known.grades if self._grades else known.chain
            if known.run == run and chain is not None:
                return chain.records
        return sum(len(lines) for lines, ended in self.archive.batches(self._member(run)) if ended)

    async def runs(self) -> list[str]:
        """See `EventLog.runs`."""
        return self.archive.runs(grades=self._grades)

    async def sizes(self) -> dict[str, int]:
        """See `EventLog.sizes`."""
        return {run: await to_thread.run_sync(self._records, run) for run in await self.runs()}

    async def close(self) -> None:
        """Nothing to let go of: the archive belongs to who opened it."""

    def _member(self, run: str) -> str:
        return records_of(check_name("run id", run), grades=self._grades)


def _seq(head: Head) -> int:
    return head.seq


class ArchiveStore(ArtifactStore):
    """The artifacts of an archive; what needs a path is copied into `scratch` first, and so is what is put."""

    def __init__(self, archive: Archive, scratch: Path) -> None:
        super().__init__(scratch)
        self.archive = archive

    @property
    def name(self) -> str:
        return str(self.archive.path)

    def has(self, digest: str) -> bool:
        """Say whether the archive holds a digest."""
        return ARTIFACTS + digest in self.archive.entries or super().has(digest)

    def get(self, digest: str) -> bytes:
        """Return the bytes of a digest, checked."""
        if ARTIFACTS + digest not in self.archive.entries:
            return super().get(digest)
        data = b"".join(self.archive.pieces(ARTIFACTS + digest))
        if digest_of(data) != digest:
            raise self._damaged(digest)
        return data

    def path(self, digest: str) -> Path:
        """Return a file with a digest's bytes, checked when it is unpacked."""
        name = ARTIFACTS + digest
        if name in self.archive.entries and not super().has(digest):
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.root) as copy:
                copy.writelines(self.archive.pieces(name))
                copy.flush()
                if self.put_file(Path(copy.name)) != digest:
                    raise self._damaged(digest)
        return super().path(digest)

    def _damaged(self, digest: str) -> ArtifactDamaged:
        return ArtifactDamaged(f"artifact {digest} in {self.name} is damaged: its bytes have another digest")


@contextlib.asynccontextmanager
async def archived(path: Path, run: str = "") -> AsyncIterator[tuple[Connection, str]]:
    """Open an archive; yields a connection over it and the id of `run`, or of the one run it was made for when none is
    named. Raises `UsageError` when the file is no archive, or when it has several runs and none is named."""
    with Archive(path) as archive, tempfile.TemporaryDirectory(prefix="gome-") as folder:
        run = run or _only(archive)
        scratch = Path(folder)
        spool = Spool(scratch / "spool")
        try:
            yield (
                Connection(
                    log=WholeLog(ArchiveLog(archive)),
                    vault=ArchiveLog(archive, grades=True),
                    artifacts=ArchiveStore(archive, scratch / "artifacts"),
                    answers=ArtifactStore(scratch / "vault", private=True),
                    spool=spool,
                    home=scratch,
                    time=RealTime(),
                    tenant="main",
                ),
                run,
            )
        finally:
            spool.close()


def _only(archive: Archive) -> str:
    runs = archive.asked()
    if len(runs) == 1:
        return runs[0]
    if not runs:
        why = f": {archive.problems[0]}" if archive.problems else ""
        raise UsageError(f"there is no run in {archive.path}{why}")
    named = ", ".join(runs[:5]) + ("…" if len(runs) > 5 else "")
    raise UsageError(f"{archive.path} holds {len(runs)} runs ({named}); name one: {archive.path}:{runs[0]}")

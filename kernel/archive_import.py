"""Taking archives in: artifacts into the store, records into the log with the bytes they have, grades into the vault.

Nothing is believed: every artifact must have its digest, every record its hash and its place in the chain. What is
damaged is named and the rest is kept: artifacts that are whole, and of each run the records before the first damaged
one. Doing it again changes nothing; a run of which a prefix is there is continued. The command is `cli.import_`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from anyio import to_thread

from gome.events import CODEC, CodecError, Head, RecordError, Sealed, follows, unseal
from gome.kernel.archive import ARTIFACTS, MANIFEST, MANIFEST_LIMIT, PIECE, SIGNATURE, Archive, Chain, records_of
from gome.kernel.archive_sign import LIMIT, available, fits, read_signature
from gome.kernel.artifacts import digest_at
from gome.kernel.errors import Conflict, Forbidden, GomeError, LogDamaged, OversizeRecord, UsageError

if TYPE_CHECKING:
    from gome.kernel.connect import Connection
    from gome.kernel.log import EventLog

_FIRST = ("RunStarted", "RunForked")


@dataclass
class TakenRun:
    """What became of a run: imported, continued (its first records were there), there (nothing was to be done), or
    refused. `records` were stored now; `damage` says what could not be taken and why, "" when all was."""

    run: str
    outcome: Literal["imported", "continued", "there", "refused"]
    records: int = 0
    events: int = 0
    grades: int = 0
    damage: str = ""


@dataclass
class Taken:
    """What became of an archive. `stored` artifacts are new, `known` were in the store already; `problems` names all
    damage but that of runs. `signer` is the key that signed it, in base64 ("": nobody)."""

    runs: list[TakenRun] = field(default_factory=list)
    stored: int = 0
    known: int = 0
    left_out: int = 0
    problems: list[str] = field(default_factory=list)
    signer: str = ""
    checked: bool = False

    @property
    def whole(self) -> bool:
        """Whether everything in the archive is at home now."""
        return not self.problems and not any(run.damage for run in self.runs)


@dataclass
class _Walk:
    """What reading a run's records once has found: the head behind the last good one, the head at a position that was
    asked for, and what is wrong with the record behind."""

    end: Head
    then: Head | None = None
    records: int = 0
    damage: str = ""


class Importer:
    """Takes one archive into one home. With `trust` (a public key in base64) only what that key has signed."""

    def __init__(self, connection: Connection, archive: Archive, trust: str = "") -> None:
        self.connection = connection
        self.archive = archive
        self.trust = trust
        self.taken = Taken(problems=list(archive.problems))

    async def take(self) -> Taken:
        """Take everything in. Raises `GomeError` when the signature that was asked for is not there, and what the log
        raises when it cannot be reached."""
        self._check_signature()
        manifest = self.archive.manifest
        if manifest is not None:
            self.taken.left_out = len(manifest.left_out)
            self.taken.problems += [
                f"artifact {digest} was lacking when it was exported" for digest in manifest.lacking
            ]
        await to_thread.run_sync(self._take_artifacts)
        prefixes = {r.run for r in manifest.runs if not r.asked} if manifest else set()
        for run in sorted(self.archive.runs(), key=lambda name: (name not in prefixes, name)):
            self.taken.runs.append(await self._take_run(run))
        there = {taken.run: taken for taken in self.taken.runs}
        for run in self.archive.runs(grades=True):
            await self._take_grades(run, there)
        return self.taken

    def _check_signature(self) -> None:
        """Say who signed; raise where a trusted signature was asked for and is not there."""
        problem = ""
        if SIGNATURE not in self.archive.entries:
            problem = "it is not signed"
        elif self.archive.manifest is None:
            problem = "what was signed, its manifest, is missing or damaged"
        else:
            found = (
                read_signature(self.archive.bytes_of(SIGNATURE, LIMIT)) if self._small(SIGNATURE) else "it is too large"
            )
            if isinstance(found, str):
                problem = f"its signature is damaged: {found}"
            else:
                self.taken.signer = found.key
                self.taken.checked = bool(self.trust) or available()
                manifest = self.archive.bytes_of(MANIFEST, MANIFEST_LIMIT)
                if self.taken.checked and not fits(found, manifest):
                    problem = "its signature is not one of its manifest"
                elif self.trust and found.key != self.trust:
                    problem = f"it is signed by {found.key}, not by {self.trust}"
        if problem and self.trust:
            raise GomeError(f"nothing was imported from {self.archive.path}: {problem}")
        if problem and SIGNATURE in self.archive.entries:
            self.taken.problems.append(problem)
            self.taken.signer = ""

    def _small(self, name: str) -> bool:
        return self.archive.entries[name].size <= LIMIT

    def _take_artifacts(self) -> None:
        """Store the artifacts that have their digest."""
        store = self.connection.artifacts
        for name in [n for n in self.archive.entries if n.startswith(ARTIFACTS)]:
            digest = name.removeprefix(ARTIFACTS)
            entry = self.archive.entries[name]
            if "sha256-" + self.archive.digest(name) != digest:
                self.taken.problems.append(f"{name}: its bytes have another digest; left out")
            elif store.has(digest) and digest_at(store.path(digest)) == digest:
                self.taken.known += 1
            elif entry.size <= PIECE:
                store.put(self.archive.bytes_of(name, PIECE))
                self.taken.stored += 1
            else:
                with tempfile.NamedTemporaryFile(dir=self.connection.home) as copy:
                    copy.writelines(self.archive.pieces(name))
                    copy.flush()
                    store.put_file(Path(copy.name))
                self.taken.stored += 1

    async def _take_run(self, run: str) -> TakenRun:
        taken = TakenRun(run, "refused")
        try:
            await self._take_records(self.connection.log, run, taken, self._promised(run))
        except (Conflict, LogDamaged, OversizeRecord, UsageError) as error:
            taken.outcome, taken.damage = "refused", str(error)
        return taken

    async def _take_grades(self, run: str, there: dict[str, TakenRun]) -> None:
        """Grades of a run that is there; their chain is one of its own."""
        graded = TakenRun(run, "refused")
        try:
            if run not in there or there[run].outcome == "refused":
                graded.damage = "the run that they belong to was not taken in"
            else:
                await self._take_records(self.connection.vault, run, graded, self._promised(run, grades=True), True)
        except Forbidden:
            graded.damage = "these credentials may not write to the vault"
        except (Conflict, LogDamaged, OversizeRecord, UsageError) as error:
            graded.damage = str(error)
        if run in there:
            there[run].grades = graded.events
        if graded.damage:
            self.taken.problems.append(f"hidden grades of run {run}: {graded.damage}")

    def _promised(self, run: str, *, grades: bool = False) -> Chain | None:
        for known in self.archive.manifest.runs if self.archive.manifest else ():
            if known.run == run:
                return known.grades if grades else known.chain
        return None

    async def _take_records(
        self, log: EventLog, run: str, taken: TakenRun, promised: Chain | None, grades: bool = False
    ) -> None:
        """Check a chain, then store what of it the log lacks."""
        name = records_of(run, grades=grades)
        have = await log.head(run)
        walk = await to_thread.run_sync(self._walk, name, run, have.seq, promised)
        taken.damage = walk.damage
        if walk.damage and self.trust:
            taken.damage += "; nothing of it was taken, for it is not what was signed"
            return
        if walk.records == 0:
            return
        if have.seq and not await self._agrees(log, run, have, walk):
            taken.damage = (
                f"the log has another run of this name: at event {min(have.seq, walk.end.seq)} theirs is not ours"
            )
            return
        taken.outcome = "there"
        taken.events = walk.end.seq
        if have.seq < walk.end.seq:
            taken.outcome = "continued" if have.seq else "imported"
            taken.records = await self._store(log, name, run, have, walk)

    def _walk(self, name: str, run: str, position: int, promised: Chain | None) -> _Walk:
        """Read records up to the first that is damaged or that nobody promised."""
        walk = _Walk(Head(run))
        for line, ended in self._lines(name):
            if promised is not None and walk.records == promised.records:
                walk.damage = f"{name} has more than the {promised.records:,} records of the manifest; passed over"
                break
            why = "it is cut off" if not ended else ""
            try:
                record = unseal(line, walk.records + 1) if ended else None
                if record is not None:
                    why = follows(record, walk.end) or _unfit(record, walk.end, grades=name.startswith("grades/"))
            except (RecordError, RecursionError) as error:
                why = str(error)
            if why or record is None:
                walk.damage = (
                    f"{name}, line {walk.records + 1} (event {walk.end.seq + 1}): {why}; "
                    f"{walk.records:,} records before it are whole"
                )
                break
            walk.records, walk.end = walk.records + 1, record.head
            if record.last == position:
                walk.then = record.head
        if promised is not None and not walk.damage and (walk.end.seq, walk.end.hash) != (promised.seq, promised.hash):
            walk.damage = f"{name} ends at event {walk.end.seq}, the manifest says at {promised.seq}"
            if walk.end.seq >= promised.seq:
                # The chain is whole and is another one: these are not the records of which the manifest speaks.
                walk.records = 0
                walk.damage = f"{name} holds other records than the manifest says; none was taken"
        if not walk.records and not walk.damage:
            walk.damage = f"{name} is empty"
        return walk

    def _lines(self, name: str) -> Iterator[tuple[bytes, bool]]:
        for lines, ended in self.archive.batches(name):
            for line in lines:
                yield line, ended

    async def _agrees(self, log: EventLog, run: str, have: Head, walk: _Walk) -> bool:
        """Whether the log's run and the archive's are the same as far as the shorter one goes."""
        if have.seq <= walk.end.seq:
            return walk.then is not None and walk.then.hash == have.hash
        async with aclosing(log.read(run)) as records:  # type: ignore[type-var]
            async for sealed in records:
                if sealed.body.run == run and sealed.last >= walk.end.seq:
                    return (sealed.last, sealed.hash) == (walk.end.seq, walk.end.hash)
        return False

    async def _store(self, log: EventLog, name: str, run: str, have: Head, walk: _Walk) -> int:
        """Adopt the records between two heads; returns how many."""
        count, head = 0, have
        lines = self._lines(name)
        for _ in range(walk.records):
            line, _ended = next(lines)
            record = unseal(line)
            if record.last > have.seq:
                head = (await log.adopt(record, head)).head
                count += 1
        return count


def _unfit(record: Sealed, head: Head, *, grades: bool) -> str:
    """Why a record with the right hash and place cannot be read all the same ("" when it can)."""
    if record.body.n < 1:
        return "it holds no event"
    if head.seq == 0 and not grades and record.body.events[0].type not in _FIRST:
        return f"a run does not begin with {record.body.events[0].type}"
    try:
        CODEC.commit(record)
    except (CodecError, RecursionError) as error:
        return f"an event in it does not decode: {error}"
    return ""

"""The archive: runs in one portable file, and how its members are found even where it is damaged.

An archive is a plain zip whose members are stored, never compressed, so that any zip tool reads it, the same runs give
the same bytes on every machine, and damage spoils nothing before it. `kernel/README.md` says what its members are.
Here are the manifest and the reader of members; `archive_log` makes a log and a store of them, `archive_export` writes
archives, `archive_import` takes them in. Nothing here trusts a byte: names that are no member of an archive's, sizes
beyond the file's and repeated members are named in `problems` and passed over.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from gome.kernel.errors import GomeError, UsageError

FORMAT = 1
SUFFIX = ".gome"
MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
ARTIFACTS = "artifacts/"
MEMBERS = 500_000
"""Most members of an archive."""
MANIFEST_LIMIT = 128 << 20
"""Largest manifest in bytes; one of `MEMBERS` members is smaller."""
LINE_LIMIT = 64 << 20
"""Longest line of a member of records: a server takes no larger message."""
PIECE = 4 << 20

_RUN = r"[A-Za-z0-9_-]{1,120}"
_MEMBER = re.compile(
    rf"manifest\.json|signature\.json|(?:runs|grades)/{_RUN}/commits\.jsonl|artifacts/sha256-[0-9a-f]{{64}}"
)
_PLACE = re.compile(rf"(.+\{SUFFIX})(?::({_RUN}))?", re.DOTALL)
_HEADER = struct.Struct("<4sHHHHHIIIHH")
_LOCAL = b"PK\x03\x04"
_ENDINGS = (b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06")
_BIG = 0xFFFFFFFF
_ZIP_ERRORS = (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError, OverflowError, EOFError)
_PACKED = (8, 9, 12, 14, 93, 95)
"""Methods of compression that zip tools write."""


class Chain(Struct, frozen=True):
    """How many records a member of records holds, and where they end: last event's sequence, last record's hash."""

    records: int
    seq: int
    hash: str


class ArchivedRun(Struct, frozen=True):
    """A run in an archive. `asked` is False for a run that is there as the prefix of a fork. `grades` is its chain in
    the vault, None where hidden grades were not exported."""

    run: str
    chain: Chain
    asked: bool = True
    grades: Chain | None = None


class Member(Struct, frozen=True):
    """A member as the manifest promises it; `sha256` are 64 hex digits."""

    name: str
    size: int
    sha256: str


class Manifest(Struct, frozen=True):
    """What an archive holds. `left_out` are digests that its records name and that it was not given: files, when it was
    written without data; `lacking` those that the exporting store did not have."""

    format: int
    gome: str
    runs: tuple[ArchivedRun, ...]
    members: tuple[Member, ...]
    left_out: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()


class Entry(Struct, frozen=True):
    """Where a member's bytes lie in the file. `whole` is False when the file does not hold as many as it should."""

    name: str
    start: int
    size: int
    whole: bool = True


def place_of(text: str) -> tuple[Path, str] | None:
    """Path and run ("" when none is named) if a text names an archive (`FILE.gome` or `FILE.gome:RUN`), else None. No
    run's id can be mistaken for one: ids have no dots."""
    found = _PLACE.fullmatch(text)
    return (Path(found[1]), found[2] or "") if found else None


def records_of(run: str, *, grades: bool = False) -> str:
    """Name of the member with a run's records, or with its grades'."""
    return f"{'grades' if grades else 'runs'}/{run}/commits.jsonl"


class Archive:
    """An archive opened for reading; a context manager. `problems` names what is wrong with the file as far as opening
    has seen: structure and manifest, not yet the members' bytes. Raises `UsageError` for what is no archive at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self.entries: dict[str, Entry] = {}
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(f"cannot read the archive {path}: {error.strerror}") from error
        try:
            self.size = os.fstat(self._file).st_size
            self._find()
            self.manifest = self._manifest()
            self.promised = {m.name: m for m in self.manifest.members} if self.manifest else {}
            self._compare()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def runs(self, *, grades: bool = False) -> list[str]:
        """Ids of the runs whose records (or grades) are there, sorted."""
        kind = "grades/" if grades else "runs/"
        return sorted(name.split("/")[1] for name in self.entries if name.startswith(kind))

    def asked(self) -> list[str]:
        """Ids of the runs that the archive was made for: all but prefixes of forks, where the manifest tells."""
        there = self.runs()
        if self.manifest is None:
            return there
        prefixes = {r.run for r in self.manifest.runs if not r.asked}
        return [run for run in there if run not in prefixes]

    def pieces(self, name: str, start: int = 0, size: int = PIECE) -> Iterator[bytes]:
        """A member's bytes from `start` on, in pieces."""
        entry = self.entries[name]
        at, end = entry.start + start, entry.start + entry.size
        while at < end:
            data = self._read(at, min(size, end - at))
            if not data:
                return
            at += len(data)
            yield data

    def bytes_of(self, name: str, limit: int) -> bytes:
        """A whole member; `GomeError` when it has more than `limit` bytes."""
        if self.entries[name].size > limit:
            raise GomeError(f"{name} in {self.path} has {self.entries[name].size:,} bytes, at most {limit:,} are read")
        return b"".join(self.pieces(name))

    def digest(self, name: str) -> str:
        """SHA-256 of a member's bytes as 64 hex digits."""
        found = hashlib.sha256()
        for data in self.pieces(name):
            found.update(data)
        return found.hexdigest()

    def batches(self, name: str, start: int = 0) -> Iterator[tuple[list[bytes], bool]]:
        """The lines of a member of records, those of a piece at a time, each with whether it ended: the last line of a
        member that was cut off has not, and a line longer than `LINE_LIMIT` is given as far as that. Both end it."""
        rest: list[bytes] = []
        held = 0
        for data in self.pieces(name, start):
            lines = data.split(b"\n")
            rest.append(lines[0])
            held += len(lines[0])
            if len(lines) > 1:
                lines[0] = b"".join(rest)
                rest, held = [lines.pop()], 0
                held = len(rest[0])
                yield lines, True
            if held > LINE_LIMIT:
                break
        if held:
            yield [b"".join(rest)], False

    def _read(self, start: int, size: int) -> bytes:
        try:
            return os.pread(self._file, size, start)
        except OSError as error:
            raise GomeError(f"cannot read {self.path}: {error.strerror}") from error

    def _find(self) -> None:
        """Walk from local header to local header, which a cut-off file still has; the directory at a zip's end is for
        other tools. Where no header is, look for the next one."""
        at = 0
        if self._header(0) is None and self._next(0) == self.size:
            head = self._read(0, _HEADER.size)
            if len(head) == _HEADER.size and head.startswith(_LOCAL) and _HEADER.unpack(head)[3] in _PACKED:
                raise UsageError(f"{self.path} is compressed, and an archive is not: pack its members with `zip -0`")
            raise UsageError(f"{self.path} is no archive of gome's (a zip with {MANIFEST} in it)")
        while at < self.size:
            if self._read(at, 4) in _ENDINGS:
                self._check_directory()
                return
            entry = self._header(at)
            if entry is None:
                self.problems.append(f"byte {at:,}: neither a member nor the directory begins here")
                at = self._next(at + 1)
                continue
            end = entry.start + entry.size
            if end > self.size or not self._begins(end):
                # The size is wrong or the file was cut: the member ends where the next one begins.
                stop = self._next(entry.start)
                self.problems.append(f"{entry.name}: has {stop - entry.start:,} of {entry.size:,} bytes")
                entry, end = Entry(entry.name, entry.start, stop - entry.start, False), stop
            self._add(entry)
            at = end
        self.problems.append("the file is cut off: its directory is missing")

    def _check_directory(self) -> None:
        """Compare the directory, which other tools go by, with the members found."""
        try:
            with open(self._file, "rb", closefd=False) as file, zipfile.ZipFile(file) as listed:
                told = [(info.filename, info.file_size) for info in listed.infolist()]
        except _ZIP_ERRORS as error:
            self.problems.append(f"the directory at its end is damaged ({error}); other tools cannot read the file")
            return
        for name, size in told:
            if _MEMBER.fullmatch(name) and (name not in self.entries or self.entries[name].size != size):
                self.problems.append(f"{name}: the directory at the file's end says something else of it")

    def _add(self, entry: Entry) -> None:
        if not _MEMBER.fullmatch(entry.name):
            self.problems.append(f"{entry.name[:200]!r} is no member of an archive; passed over")
        elif entry.name in self.entries:
            self.problems.append(f"{entry.name} is there twice; only the first counts")
        elif len(self.entries) >= MEMBERS:
            raise UsageError(f"{self.path} has more than {MEMBERS:,} members; an archive holds fewer")
        else:
            self.entries[entry.name] = entry

    def _begins(self, at: int) -> bool:
        return self._read(at, 4) in _ENDINGS or self._header(at) is not None or at == self.size

    def _header(self, at: int) -> Entry | None:
        """The stored member whose local header lies at a place; None when there is none."""
        data = self._read(at, _HEADER.size)
        if len(data) < _HEADER.size or not data.startswith(_LOCAL):
            return None
        _, _, flags, method, _, _, _, packed, size, name_size, more_size = _HEADER.unpack(data)
        tail = self._read(at + _HEADER.size, name_size + more_size)
        if method or flags & 0x9 or len(tail) < name_size + more_size:
            # Compressed, encrypted, or of a size that is told later.
            return None
        more = tail[name_size:]
        if _BIG in (packed, size):
            if more[:2] != b"\x01\x00" or len(more) < 20:
                return None
            size, packed = struct.unpack_from("<QQ", more, 4)
        if packed != size:
            return None
        return Entry(tail[:name_size].decode("utf-8", "replace"), at + _HEADER.size + len(tail), size)

    def _next(self, at: int) -> int:
        """Where behind a damaged place the next member of an archive's, or the directory, begins; else the end."""
        while at < self.size:
            data = self._read(at, PIECE)
            for found in re.finditer(rb"PK(?:\x03\x04|\x01\x02|\x05\x06|\x06\x06)", data):
                place = at + found.start()
                if found[0] == _LOCAL:
                    entry = self._header(place)
                    if entry is not None and _MEMBER.fullmatch(entry.name):
                        return place
                elif self.entries and self._is_directory(place, found[0]):
                    return place
            if at + len(data) >= self.size:
                break
            at += max(1, len(data) - 3)
        return self.size

    def _is_directory(self, place: int, mark: bytes) -> bool:
        """Whether the directory begins at a place: with the first member's entry."""
        if mark != _ENDINGS[0]:
            return False
        entry = self._read(place, 46 + 200)
        return len(entry) > 46 and _MEMBER.match(entry[46:].decode("latin-1")) is not None

    def _manifest(self) -> Manifest | None:
        if MANIFEST not in self.entries:
            self.problems.append(f"{MANIFEST} is missing: what should be there cannot be told")
            return None
        try:
            found = msgspec.json.decode(self.bytes_of(MANIFEST, MANIFEST_LIMIT), type=Manifest)
        except (msgspec.MsgspecError, RecursionError, GomeError) as error:
            self.problems.append(f"{MANIFEST} cannot be read: {error}")
            return None
        if found.format > FORMAT:
            raise UsageError(
                f"{self.path} has format {found.format}, written by gome {found.gome}; this one reads up to {FORMAT}: "
                "install a newer gome"
            )
        return found

    def _compare(self) -> None:
        """Name what the manifest promises and the file lacks, and what nobody promised."""
        if self.manifest is None:
            return
        for name, member in self.promised.items():
            entry = self.entries.get(name)
            if entry is None:
                self.problems.append(f"{name[:200]} is missing")
            elif entry.whole and entry.size != member.size:
                self.problems.append(f"{name}: has {entry.size:,} bytes, the manifest says {member.size:,}")
        for name in [n for n in self.entries if n not in self.promised and n not in (MANIFEST, SIGNATURE)]:
            self.problems.append(f"{name} is not in the manifest; passed over")
            del self.entries[name]

"""One file of records, a line each: locked appends, fsync, and what a crash in the middle of a line leaves behind.

A journal keeps where each run's records lie, never the records. Bytes behind the last newline are a line that was
being written when its process died: nobody was told that it is stored, so readers pass over it and the next append
cuts it off (unless it is whole, then it counts and gets its newline). `gome.kernel.log_file` calls this in threads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from gome.events import Draft, Head, Origin, RecordError, Sealed, seal, unseal
from gome.kernel.errors import LogDamaged, UsageError
from gome.kernel.log_checks import beginning, behind, check_size, conflict, damaged

_RUN = re.compile(rb'"run":"([A-Za-z0-9_-]{1,120})"')


class _Line(Struct):
    """What of a record the index needs."""

    run: str
    seq: int
    n: int
    origin: Origin | None = None


_decode = msgspec.json.Decoder(_Line)


@dataclass
class _Index:
    """Where the records of one run lie: start and length of each line, its last sequence. `ids` says which record has
    an id, as far as an append has looked (`named` records)."""

    starts: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q"))
    ids: dict[bytes, int] = field(default_factory=dict)
    named: int = 0


class Journal:
    """One .jsonl file. Its methods block and may be called from several threads."""

    def __init__(self, path: Path, run: str = "") -> None:
        """`run` is the only run the file may hold; "" allows any number."""
        self.path = path
        self._run = run
        self._lock = threading.Lock()
        self._runs: dict[str, _Index] = {}
        self._illegible: list[tuple[str, str]] = []
        self._seen = 0
        self._lines = 0
        self._unended = False

    def append(self, draft: Draft, head: Head, now: float, limit: int, sealed: Sealed | None = None) -> Sealed:
        """Append by compare-and-swap on (sequence, hash); see `EventLog.append`. `sealed` is the draft's record if it
        was sealed elsewhere."""
        with self._lock, self._open_locked() as file:
            self._refresh(file)
            current = self._head(file, draft.run)
            self._check_whole(draft.run, current)
            current = current if current.seq else beginning(draft, head)
            index = self._runs.get(draft.run, _Index())
            if (known := self._named(file, index, draft.id)) is not None:
                return known
            if (current.seq, current.hash) != (head.seq, head.hash):
                if current.seq < head.seq:
                    raise behind(head, current, str(self.path))
                raise conflict(draft.run, head, current)
            record = sealed or seal(draft, current, now)
            check_size(draft, len(record.stored), limit)
            os.ftruncate(file, self._seen)
            os.lseek(file, self._seen, os.SEEK_SET)
            _write(file, (b"\n" if self._unended else b"") + record.stored + b"\n")
            os.fsync(file)
            self._refresh(file)
            return structs.replace(record, revision=current.revision + 1)

    def head(self, run: str) -> Head:
        """The run's head; `Head(run)` when there is none."""
        with self._lock, self._open() as file:
            if file is None:
                return Head(run)
            self._refresh(file)
            head = self._head(file, run)
            self._check_whole(run, head)
            return head

    def extent(self, run: str) -> tuple[int, int]:
        """Last sequence and number of records of a run; zeros when there is none."""
        with self._lock, self._open() as file:
            if file is not None:
                self._refresh(file)
            index = self._runs.get(run)
            if index is None:
                self._check_whole(run, Head(run))
                return 0, 0
            return index.ends[-1], len(index.ends)

    def place(self, run: str, seq: int) -> int:
        """How many of the run's records lie at or before a sequence."""
        with self._lock:
            return bisect_right(self._runs[run].ends, seq)

    def lines(self, run: str, first: int, last: int, size: int) -> list[bytes]:
        """Stored bytes of records `first` (0-based) up to before `last`, at least one, those within about `size`
        bytes of the file."""
        with self._lock, self._open() as file:
            if file is None:
                raise damaged(Head(run), "the file is gone", str(self.path))
            index = self._runs[run]
            begin = index.starts[first]
            end = max(first + 1, bisect_left(index.starts, begin + size, first, last))
            last_byte = index.starts[end - 1] + index.sizes[end - 1]
            # One read for all of them; what other runs have in between is passed over.
            data = os.pread(file, last_byte - begin, begin)
            places = zip(index.starts[first:end], index.sizes[first:end], strict=True)
            return [data[start - begin : start - begin + length] for start, length in places]

    def runs(self) -> list[str]:
        """Ids of all runs in the file, sorted."""
        with self._lock, self._open() as file:
            if file is not None:
                self._refresh(file)
            return sorted(self._runs)

    def check_whole(self, run: str, at: Head) -> None:
        """Raise `LogDamaged` if a line that cannot be read may have been the run's next after `at`."""
        with self._lock:
            self._check_whole(run, at)

    def _check_whole(self, run: str, at: Head) -> None:
        for owner, reason in self._illegible:
            if owner in ("", run):
                raise damaged(at, reason, str(self.path))

    def _head(self, file: int, run: str) -> Head:
        index = self._runs.get(run)
        if index is None:
            return Head(run)
        place = len(index.ends) - 1
        before = Head(run, index.ends[place - 1] if place else 0)
        line = self._line(file, index, place)
        try:
            return unseal(line, place + 1).head
        except RecordError as error:
            raise damaged(before, str(error), str(self.path)) from error

    def _named(self, file: int, index: _Index, name: str) -> Sealed | None:
        """The record of this id, if the run has it."""
        for place in range(index.named, len(index.ends)):
            index.ids[bytes.fromhex(unseal(self._line(file, index, place)).id)] = place
        index.named = len(index.ends)
        found = index.ids.get(bytes.fromhex(name))
        return None if found is None else unseal(self._line(file, index, found), found + 1)

    def _line(self, file: int, index: _Index, place: int) -> bytes:
        return os.pread(file, index.sizes[place], index.starts[place])

    def _refresh(self, file: int) -> None:
        """Index what was added since the last time."""
        size = os.fstat(file).st_size
        if size < self._seen:
            raise LogDamaged(f"{self.path} has become shorter; restore it from a copy")
        while self._seen < size:
            data = os.pread(file, min(size - self._seen, 1 << 24), self._seen)
            whole = data.rfind(b"\n") + 1
            if not whole:
                if self._seen + len(data) < size:
                    data = os.pread(file, size - self._seen, self._seen)
                    whole = data.rfind(b"\n") + 1
                if not whole:
                    self._take_unended(data)
                    return
            start = self._seen
            if self._unended and data.startswith(b"\n"):
                start += 1
                data = data[1:]
                whole -= 1
            self._unended = False
            for line in data[:whole].split(b"\n")[:-1]:
                self._add(start, line)
                start += len(line) + 1
            self._seen = start

    def _take_unended(self, data: bytes) -> None:
        if not self._unended:
            with contextlib.suppress(RecordError):
                unseal(data)
                self._add(self._seen, data)
                self._seen += len(data)
                self._unended = True

    def _add(self, start: int, line: bytes) -> None:
        """Index a line, or remember that it cannot be read and whose it may be."""
        self._lines += 1
        try:
            known = _decode.decode(line)
        except msgspec.MsgspecError:
            found = _RUN.search(line)
            owner = self._run or (found[1].decode() if found else "")
            self._illegible.append((owner, f"line {self._lines} is not a record"))
            return
        index = self._runs.get(known.run)
        first = known.origin.seq if known.origin else 0
        expected = (index.ends[-1] if index else first) + 1
        if known.seq != expected or self._run not in ("", known.run):
            owner = self._run or _owner(line)
            reason = f"line {self._lines} starts at {known.seq} of run {known.run}, expected {expected}"
            self._illegible.append((owner, reason))
            return
        if index is None:
            index = self._runs[known.run] = _Index()
        index.starts.append(start)
        index.sizes.append(len(line))
        index.ends.append(known.seq + known.n - 1)

    @contextlib.contextmanager
    def _open(self) -> Iterator[int | None]:
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}") from error
        try:
            yield file
        finally:
            os.close(file)

    @contextlib.contextmanager
    def _open_locked(self) -> Iterator[int]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            created = not self.path.exists()
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if created:
                # The name must survive a crash as well as the bytes.
                folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
            yield file
        finally:
            os.close(file)


def _owner(line: bytes) -> str:
    """The run a misplaced line belongs to; "" (it may be any) when it is damaged, its run's name included."""
    try:
        return unseal(line).body.run
    except RecordError:
        return ""


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]

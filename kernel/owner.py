"""Who drives a run: at most one process of those that share a home, by a file lock.

Safety does not depend on it (two drivers of one run would compute the same ids, and the first record wins); it keeps
a second process from paying for the same work and tells a person where the first one is. `gome run` takes the lock;
`gome runs` asks `owner_of`. Where homes are not shared, `gome.kernel.lease` does the same on a cluster.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from gome.kernel.errors import RunAlive, UsageError
from gome.kernel.log_checks import check_name

_PROBE = 0.3


@dataclass(frozen=True)
class Owner:
    """A process that drives a run."""

    pid: int
    host: str

    @classmethod
    def said(cls, data: bytes) -> Owner | None:
        """Read what an owner wrote about itself; None when it cannot be read."""
        try:
            owner = json.loads(data)
            return cls(int(owner["pid"]), str(owner["host"]))
        except (ValueError, KeyError, TypeError):
            return None

    @classmethod
    def me(cls) -> Owner:
        """The calling process."""
        return cls(os.getpid(), os.uname().nodename)

    def __str__(self) -> str:
        return f"process {self.pid}" + ("" if self.host == os.uname().nodename else f" on {self.host}")


def refusal(run: str, owner: Owner | None) -> RunAlive:
    """The error that tells who has the run."""
    return RunAlive(f"run {run} is alive in {owner or 'another process'}; watch it with `gome tail {run}`")


def _path(home: Path, run: str) -> Path:
    return home / "owners" / f"{check_name('run id', run)}.lock"


def _read(path: Path) -> Owner | None:
    try:
        return Owner.said(path.read_bytes())
    except OSError:
        return None


@contextlib.contextmanager
def owner_lock(home: Path, run: str) -> Iterator[None]:
    """Hold a run while the block runs; released by leaving and by dying, kill -9 included.

    Raises `UsageError` naming the process and host of the present owner, or when home cannot hold locks.
    """
    path = _path(home, run)
    deadline = time.monotonic() + _PROBE
    while (fd := _try_lock(path)) is None:
        # `owner_of` in another process holds the lock for an instant; an owner holds it longer.
        if time.monotonic() > deadline:
            raise refusal(run, _read(path))
        time.sleep(0.01)
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(asdict(Owner.me())).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(fd)


def _try_lock(path: Path) -> int | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UsageError(f"cannot lock {path}: {error.strerror}; choose another folder with GOME_HOME") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The last owner may have unlinked the file between our open and our lock: then it is nobody's lock.
        if os.stat(path).st_ino == os.fstat(fd).st_ino:
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None


def owner_of(home: Path, run: str) -> Owner | None:
    """Return who drives a run on this home right now, None when nobody does."""
    path = _path(home, run)
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    finally:
        os.close(fd)
    return None

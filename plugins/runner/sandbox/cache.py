"""Results of executions that were run before, by everything that they depend on: a folder below gome's home.

An entry is the finished result; its files are artifacts, named by their digests. It is written by an atomic rename and
begins with the digest of what follows. One that is damaged, was put elsewhere, needs artifacts that are gone or did not
run within the limits asked for now counts for nothing: an execution is never wrong because of this folder, only slower
without it. Only successes are kept, and only of `debug` and `full` executions: whoever runs a program again to see how
much its results vary (seed, repeat, rerun, audit) wants it run, and neither reads nor writes here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import time
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from gome.events import ExecutionFinished, ExecutionRequested, Limits, Task
from gome.kernel.plugin import Artifacts
from gome.plugins.runner.sandbox.settings import Settings

PURPOSES = ("debug", "full")

MOST = 2000
"""Entries at most; the least recently used go."""
MOST_BYTES = 256 << 20
"""Bytes of entries at most; the files of results lie in the artifact store and are not counted."""
STALE = 3600.0
"""Seconds after which a file that nobody has finished writing is litter."""


class Entry(msgspec.Struct, frozen=True):
    """A finished execution under its key."""

    key: str
    result: ExecutionFinished


def key_of(intent: ExecutionRequested, task: Task, settings: Settings, *, device: str, isolated: bool) -> str:
    """The digest of all that an execution's result depends on: the program and what it reads, how it is seeded and
    sampled, and where it runs. Limits are no part of it (see `Cache.find`)."""
    limits = intent.limits
    facts: dict[str, Any] = {
        "program": intent.program.digest,
        "inputs": {name: artifact.digest for name, artifact in intent.inputs.items()},
        "seed": intent.seed,
        "partition": intent.partition,
        "masked_fold": intent.masked_fold,
        "debug": intent.purpose == "debug",
        "sampling": _sampling(task, settings) if intent.purpose == "debug" else None,
        "metric": task.metric.name,
        "threads": limits.cores,
        "device": [device, limits.gpus, limits.gpu_share],
        "isolated": isolated,
        "hide": settings.hide,
        "output": [settings.output_kb, settings.stream_mb],
        "machine": platform.machine(),
        "python": platform.python_version(),
        "packages": packages(),
        "runner": runner_digest(),
    }
    return hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()


def _sampling(task: Task, settings: Settings) -> list[Any]:
    sizes = (settings.debug_share, settings.debug_rows, settings.debug_per_class)
    return [*sizes, task.kind, task.id, task.target, task.classes]


@lru_cache(maxsize=1)
def packages() -> str:
    """The digest of the names and versions of all that is installed beside this interpreter: a program may import any
    of it."""
    found = sorted({f"{d.name}=={d.version}".lower() for d in metadata.distributions()})
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


@lru_cache(maxsize=1)
def runner_digest() -> str:
    """The digest of this package's files: another version of the runner has run nothing yet."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(f"{path.name}\0".encode() + path.read_bytes())
    return found.hexdigest()


class Cache:
    """The entries in a folder, shared by any number of processes."""

    def __init__(self, folder: Path, *, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self.most = most
        self.most_bytes = most_bytes

    def find(
        self, key: str, intent: ExecutionRequested, limits: Limits, artifacts: Artifacts
    ) -> ExecutionFinished | None:
        """The result under a key as the answer to this intent, None where there is none that holds. It keeps its
        seconds; `cached` says that they were not spent now. A result that took more than `limits` allow is none: the
        program would be stopped today."""
        path = self.folder / key
        entry = self._read(path)
        if entry is None or entry.key != key or not _within(entry.result, limits):
            return None
        found = entry.result
        if not all(artifacts.has(file.digest) for file in (*found.outputs.values(), *found.streams.values())):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the next clearing looks at this
        return msgspec.structs.replace(found, attempt=intent.attempt, purpose=intent.purpose, cached=True, startup=0.0)

    def keep(self, key: str, result: ExecutionFinished) -> None:
        """Keep a successful result. A folder that cannot be written keeps nothing."""
        if not result.ok or result.cached:
            return
        body = msgspec.json.encode(Entry(key, result))
        data = hashlib.sha256(body).hexdigest().encode() + b"\n" + body
        part = self.folder / f".{key[:16]}.{os.getpid()}.{os.urandom(4).hex()}"
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                part.write_bytes(data)
                os.replace(part, self.folder / key)
            finally:
                part.unlink(missing_ok=True)
            self._clear()

    def _read(self, path: Path) -> Entry | None:
        try:
            digest, _, body = path.read_bytes().partition(b"\n")
            if hashlib.sha256(body).hexdigest().encode() != digest:
                return None
            return msgspec.json.decode(body, type=Entry)
        except (OSError, msgspec.MsgspecError):
            return None

    def _clear(self) -> None:
        """Remove the least recently used entries until the rest is within bounds, and litter."""
        found = []
        with os.scandir(self.folder) as listed:
            for file in listed:
                with contextlib.suppress(FileNotFoundError):  # somebody else clears, too
                    facts = file.stat(follow_symlinks=False)
                    if not file.name.startswith("."):
                        found.append((facts.st_mtime_ns, facts.st_size, file.path))
                    elif time.time() - facts.st_mtime > STALE:
                        os.unlink(file.path)
        count, size = len(found), sum(entry[1] for entry in found)
        for _, one, path in sorted(found):
            if count <= self.most and size <= self.most_bytes:
                return
            Path(path).unlink(missing_ok=True)
            count, size = count - 1, size - one


def _within(result: ExecutionFinished, limits: Limits) -> bool:
    """Whether an execution that went like this stays within the limits."""
    written = sum(file.size for file in result.outputs.values())
    in_time = result.seconds <= limits.seconds
    return in_time and result.peak_mb <= limits.memory_mb and written <= limits.disk_mb << 20

"""Takes a program's files out of its working folder and into the artifact store, believing nothing about them.

Only names of the contract are taken, only regular files reached without a single symbolic link, and only up to a size.
Called when every process of the execution is dead, so nothing changes while we look.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gome.events import Artifact
from gome.events.diagnostics import fitting
from gome.kernel.plugin import Artifacts
from gome.plugins.runner.sandbox.contract import MAX_SCORES, read_diagnostics, read_scores

MAX_DIAGNOSTICS = 256 << 10
REQUIRED = ("submission.csv", "oof.csv")
OPTIONAL = {"scores.csv": MAX_SCORES, "diagnostics.json": MAX_DIAGNOSTICS}
"""Files that may be missing, and how many bytes they may have."""
MEMBER = ("oof.csv", "submission.csv")
MEDIA = {".csv": "text/csv", ".json": "application/json"}

MAX_MEMBERS = 64

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass
class Collected:
    """What was found: artifacts by name, parsed diagnostics, what is wrong with required files, remarks on others."""

    outputs: dict[str, Artifact] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)
    missing: str = ""
    remarks: list[str] = field(default_factory=list)


def open_plain(box: Path, name: str, most: int) -> int:
    """Open a file below `box`; raise OSError for whatever is no regular file of at most `most` bytes, or lies behind a
    symbolic link. The caller closes the descriptor."""
    *folders, last = name.split("/")
    here = os.open(box, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            below = os.open(folder, _FLAGS | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
        fd = os.open(last, _FLAGS, dir_fd=here)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise OSError(errno.EINVAL, "is a symbolic link, which is not taken") from None
        raise
    finally:
        os.close(here)
    facts = os.fstat(fd)
    problem = ""
    if not stat.S_ISREG(facts.st_mode):
        problem = "is no regular file"
    elif facts.st_size > most:
        problem = f"has {facts.st_size} bytes, more than {most}"
    if problem:
        os.close(fd)
        raise OSError(errno.EINVAL, problem)
    return fd


def collect(box: Path, store: Artifacts, most: int, metric: str) -> Collected:
    """Take the outputs from a working folder, of at most `most` bytes together: a sparse file takes no disk in there,
    but as much as it claims in the store. `metric` is what `scores.csv` is about."""
    found = Collected()
    left = most
    wrong = []
    for name in REQUIRED:
        try:
            found.outputs[name] = _take(box, name, store, left)
            left -= found.outputs[name].size
        except OSError as error:
            wrong.append(_sentence(name, error))
    found.missing = "; ".join(wrong)
    for name in [*OPTIONAL, *_members(box)]:
        try:
            found.outputs[name] = _take(box, name, store, min(left, OPTIONAL.get(name, most)))
            left -= found.outputs[name].size
        except FileNotFoundError:
            continue
        except OSError as error:
            found.remarks.append(_sentence(name, error))
    _check(found, store, metric)
    return found


def _check(found: Collected, store: Artifacts, metric: str) -> None:
    """Leave out files that do not have their shape, and entries of the diagnostics that do not have theirs."""
    for name in OPTIONAL:
        if name not in found.outputs:
            continue
        data = store.get(found.outputs[name].digest)
        try:
            if name == "scores.csv":
                read_scores(data, metric)
            else:
                found.diagnostics, remarks = fitting(read_diagnostics(data))
                found.remarks += [f"{name}: left out is {remark}" for remark in remarks]
        except ValueError as error:
            del found.outputs[name]
            found.remarks.append(f"{name} is left out: {error}")


def whole_streams(files: Sequence[Path], places: Sequence[tuple[str, str]], store: Artifacts) -> dict[str, Artifact]:
    """Store output streams that are too long for the event, under `stdout.txt` and `stderr.txt`, with the paths of this
    machine (`places`: path, what to say instead) taken out as in the event."""
    found = {}
    for file in files:
        data = file.read_bytes()
        for path, instead in sorted(places, key=lambda place: -len(place[0])):
            data = data.replace(os.fsencode(path), instead.encode())
        name = f"{file.name}.txt"
        found[name] = Artifact(digest=store.put(data), size=len(data), name=name, media="text/plain")
    return found


def _members(box: Path) -> list[str]:
    """Names of the members' files, of at most MAX_MEMBERS well-named folders."""
    try:
        fd = os.open(box / "members", _FLAGS | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        keys = sorted(key for key in os.listdir(fd) if _KEY.match(key))[:MAX_MEMBERS]
    finally:
        os.close(fd)
    return [f"members/{key}/{name}" for key in keys for name in MEMBER]


def _take(box: Path, name: str, store: Artifacts, most: int) -> Artifact:
    fd = open_plain(box, name, most)
    try:
        size = os.fstat(fd).st_size
        # Nothing runs any more, so the path still names the file that was checked.
        digest = store.put_file(box / name)
    finally:
        os.close(fd)
    return Artifact(digest=digest, size=size, name=name.rpartition("/")[2], media=MEDIA[Path(name).suffix])


def _sentence(name: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{name} was not written"
    return f"{name} {error.strerror}"

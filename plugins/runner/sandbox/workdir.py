"""The folder of one execution, the same one after a crash: inputs, the program's own folder, outputs, the manifest.

    manifest.json   the result, written by atomic rename when all is over: found again, it *is* the result
    process.json    the launcher's process, so that a successor can make sure that it is gone
    box/            the program's working folder (writable inside)      input/   its inputs (read-only inside)
    etc/ root/      what the sandbox is made from                       stdout stderr report

Everything but manifest, stdout and stderr is dropped when the execution is over.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import time
from itertools import islice
from pathlib import Path

import msgspec

from gome.events import Artifact, Cost, ExecutionFinished
from gome.kernel.plugin import Artifacts
from gome.plugins.runner.sandbox import cgroup, usage
from gome.plugins.runner.sandbox.processes import write_atomically


class Manifest(msgspec.Struct, frozen=True):
    """A finished execution: the intent it answers, its result and its cost."""

    intent: str
    result: ExecutionFinished
    cost: Cost


class Workdir:
    """Paths below an execution's folder and what is done to them as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.box = folder / "box"
        self.inputs = folder / "input"
        self.etc = folder / "etc"
        self.root = folder / "root"

    def finished(self, intent: str) -> Manifest | None:
        """The result that an earlier attempt at this intent left, if it came that far."""
        try:
            found = msgspec.json.decode((self.folder / "manifest.json").read_bytes(), type=Manifest)
        except (OSError, msgspec.MsgspecError):
            return None
        return found if found.intent == intent else None

    def finish(self, manifest: Manifest, *, keep: bool) -> None:
        """Record the result durably, then drop what it was made from."""
        write_atomically(self.folder / "manifest.json", msgspec.json.encode(manifest))
        if not keep:
            self._drop()

    def fresh(self) -> None:
        """Kill what a crashed attempt may have left alive, wipe its files, make the folders anew."""
        self._bury()
        self._drop()
        for name in ("manifest.json", "process.json", "group.json", "report", "stdout", "stderr"):
            (self.folder / name).unlink(missing_ok=True)
        for path in (self.box, self.inputs, self.etc, self.root):
            path.mkdir(parents=True)
        (self.box / "input").mkdir()

    def _drop(self) -> None:
        for path in (self.box, self.inputs, self.etc, self.root):
            if path.exists():
                remove_tree(path)

    def _bury(self) -> None:
        """The lifeline kills an execution with gome, so there is nothing to do but for the moment it takes; and should
        it ever fail, the process is killed here, if it is really that one (start time and boot agree)."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            launcher = json.loads((self.folder / "process.json").read_bytes())
            pid, started = int(launcher["pid"]), str(launcher["started"])
            if started and usage.started(pid) == started:
                _kill_slowly([pid, *usage.descendants(pid)])
        with contextlib.suppress(OSError, ValueError, TypeError):
            cgroup.remove(Path(json.loads((self.folder / "group.json").read_bytes())))

    def lay_out(self, program: str, inputs: dict[str, Artifact], store: Artifacts) -> dict[str, Path]:
        """Write the program and return where each input's bytes lie in the store. Raises ValueError for an input whose
        name leaves the folder."""
        (self.box / "program.py").write_text(program, encoding="utf-8")
        for name in inputs:
            if not name or name.startswith("/") or ".." in name.split("/"):
                raise ValueError(f"input {name!r} does not stay in its folder")
        return {name: store.path(artifact.digest) for name, artifact in inputs.items()}

    def place(self, name: str, source: Path, *, linked: bool) -> None:
        """Put one input into place: a hard link where the sandbox's user can only read it, else a copy."""
        target = self.inputs / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if linked and source.stat().st_mode & 0o004:
            with contextlib.suppress(OSError):
                os.link(source, target)
                return
        shutil.copyfile(source, target)
        target.chmod(0o644)

    def hand_over(self, uid: int) -> None:
        """Give the program's folder to the user it runs as; the rest of the tree need not be readable for anybody."""
        for path in (self.box, *self.box.iterdir()):
            os.chown(path, uid, uid)

    def join_inputs(self) -> None:
        """Without a sandbox nothing is mounted: `box/input` is a link to the inputs, which lose their write bits."""
        (self.box / "input").rmdir()
        (self.box / "input").symlink_to(self.inputs)
        for path in (self.inputs, *self.inputs.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)


def _kill_slowly(pids: list[int]) -> None:
    """Give processes a second to end by themselves, then kill those that are still the same; wait five seconds."""
    born = {pid: usage.started(pid) for pid in pids}
    began = time.monotonic()
    while alive := [pid for pid, when in born.items() if when and usage.started(pid) == when]:
        waited = time.monotonic() - began
        if waited > 5:
            return
        if waited > 1:
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def remove_tree(folder: Path) -> None:
    """Remove a folder of which a program has made what it liked: endlessly deep, with paths longer than any path may
    be, without rights for its owner. Nobody may be at work in it. Needs neither recursion nor paths: it goes down by
    descriptors and up by "..", and takes the rights back on its way."""
    os.chmod(folder, 0o700)
    here = os.open(folder, _FOLDER)
    above: list[str] = []
    try:
        while True:
            below = _remove_files(here)
            if below:
                os.chmod(below, 0o700, dir_fd=here)
                here = _go(here, below)
                above.append(below)
            elif above:
                here = _go(here, "..")
                os.rmdir(above.pop(), dir_fd=here)
            else:
                break
    finally:
        os.close(here)
    os.rmdir(folder)


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _go(here: int, name: str) -> int:
    there = os.open(name, _FOLDER, dir_fd=here)
    os.close(here)
    return there


def _remove_files(here: int) -> str:
    """Remove a folder's files and empty folders; return the first folder that is not empty, "" when all have gone."""
    while True:
        with os.scandir(here) as entries:
            names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in islice(entries, 1000)]
        if not names:
            return ""
        for name, is_folder in names:
            if not is_folder:
                os.unlink(name, dir_fd=here)
                continue
            try:
                os.rmdir(name, dir_fd=here)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
                return name

"""The content-addressed store: bytes by their SHA-256, durable before the event that names them.

`ArtifactStore(root)` is a local folder; `open_store` returns one for a path and, for a URL, a `RemoteStore` with a
local folder as cache (`gome.kernel.artifacts_remote`). Both are the `Artifacts` of `gome.kernel.plugin`. The vault
keeps the hidden answers in a store of its own, opened with `private=True`. A file lies at `root/ab/cdef…`, named by
the digits of its digest; it is written once, read-only, and may be shared by hard links.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from gome.events.artifact import digest_of
from gome.kernel.errors import ArtifactMissing, GomeError, UsageError

if TYPE_CHECKING:
    from gome.kernel.plugin import Artifacts

TEXTS = 32_000_000
"""Characters of resolved texts kept in memory."""
_DIGEST = re.compile(r"sha256-([0-9a-f]{64})")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::[A-Za-z][A-Za-z0-9+.-]*)*://")
_CHUNK = 1 << 20


class ArtifactDamaged(ArtifactMissing):
    """What lies under a digest has another digest: the bytes were altered after they were stored."""


class ArtifactStore:
    """A folder of content-addressed files, shared by any number of processes.

    `private` makes the folder readable by its owner only (0700). Methods raise `ArtifactMissing` for a digest that is
    not there, `ArtifactDamaged` where the bytes do not fit, and `GomeError` when the folder cannot be written.
    """

    def __init__(self, root: Path, *, private: bool = False) -> None:
        self.root = root
        self.mode = 0o700 if private else 0o777
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Where the store is, for messages to people."""
        return str(self.root)

    def put(self, data: bytes) -> str:
        """Store bytes and return their digest. Durable when it returns; storing them again changes nothing, except
        that a damaged copy is replaced."""
        digest = digest_of(data)

        def same(path: Path) -> bool:
            return path.stat().st_size == len(data) and path.read_bytes() == data

        def write(file: BinaryIO) -> None:
            file.write(data)

        self._store(digest, same, write)
        return digest

    def put_file(self, path: Path) -> str:
        """Store a file's bytes, read in pieces, and return their digest; like `put`."""
        with open(path, "rb") as source:
            digest = "sha256-" + hashlib.file_digest(source, "sha256").hexdigest()
            size = source.tell()

            def same(stored: Path) -> bool:
                return stored.stat().st_size == size and digest_at(stored) == digest

            def write(file: BinaryIO) -> None:
                source.seek(0)
                copied = hashlib.sha256()
                while data := source.read(_CHUNK):
                    copied.update(data)
                    file.write(data)
                if "sha256-" + copied.hexdigest() != digest:
                    raise GomeError(f"{path} changed while it was being stored; try again when nothing writes to it")

            self._store(digest, same, write)
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes of a digest, checked."""
        data = self.path(digest).read_bytes()
        if digest_of(data) != digest:
            raise self._damaged(digest)
        return data

    def path(self, digest: str) -> Path:
        """Return the file that holds a digest's bytes; it must not be written to. The bytes are not checked."""
        path = self._place(digest)
        if not path.is_file():
            raise ArtifactMissing(f"artifact {digest} is not in {self.name} (looked for {path})")
        return path

    def has(self, digest: str) -> bool:
        """Say whether the store holds a digest."""
        return is_digest(digest) and self._place(digest).is_file()

    def text(self, digest: str) -> str:
        """Return a digest's bytes as text; recent ones come from memory. This is the `resolve` of the codec."""
        with self._lock:
            if (known := self._texts.get(digest)) is not None:
                self._texts.move_to_end(digest)
                return known
        try:
            text = self.get(digest).decode()
        except UnicodeDecodeError as error:
            raise ArtifactDamaged(f"artifact {digest} in {self.name} is not text: {error.reason}") from error
        with self._lock:
            if digest not in self._texts and len(text) <= TEXTS:
                self._texts[digest] = text
                self._held += len(text)
                while self._held > TEXTS:
                    self._held -= len(self._texts.popitem(last=False)[1])
        return text

    def link_into(self, digest: str, target: Path) -> None:
        """Make `target` a read-only file with the digest's bytes: a hard link, or a copy on another file system. An
        existing file is replaced at once. Whoever may change the mode of a hard link may alter the store, so programs
        get theirs through a read-only mount."""
        source = self.path(digest)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            try:
                os.link(source, temporary)
            except OSError:  # another file system, one without links, or too many of them
                shutil.copyfile(source, temporary)
                temporary.chmod(0o444)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def _place(self, digest: str) -> Path:
        match = _DIGEST.fullmatch(digest)
        if match is None:
            raise ArtifactMissing(f"{digest!r} is not a digest (sha256- and 64 hex digits)")
        return self.root / match[1][:2] / match[1][2:]

    def _damaged(self, digest: str) -> ArtifactDamaged:
        return ArtifactDamaged(
            f"artifact {digest} is damaged: the bytes at {self._place(digest)} have another digest; restore that file, "
            "or remove it and store it again"
        )

    def _store(self, digest: str, same: Callable[[Path], bool], write: Callable[[BinaryIO], None]) -> None:
        path = self._place(digest)
        try:
            with contextlib.suppress(FileNotFoundError):
                if same(path):
                    # Another process may have renamed it an instant ago: durable is only what is in a synced folder.
                    _sync(path.parent)
                    return
            self._folder(path.parent)
            temporary = path.with_name(f".{path.name[:16]}.{os.getpid()}.{os.urandom(4).hex()}")
            try:
                with open(temporary, "xb") as file:
                    write(file)
                    file.flush()
                    os.fchmod(file.fileno(), 0o444 & self.mode)
                    os.fsync(file.fileno())
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            _sync(path.parent)
        except OSError as error:
            raise GomeError(f"cannot store artifact {digest} in {self.name}: {error.strerror}") from error

    def _folder(self, folder: Path) -> None:
        """Make `root/ab` and what is missing above it, durably."""
        missing = [f for f in (folder, *folder.parents) if not f.exists()]
        for new in reversed(missing):
            new.mkdir(mode=self.mode if self.root in (new, *new.parents) else 0o777, exist_ok=True)
            _sync(new.parent)
        if self.mode == 0o700 and self.root.stat().st_mode & 0o077:
            self.root.chmod(0o700)


def open_store(where: str | Path, *, cache: Path | None = None) -> ArtifactStore:
    """Open the store at a folder or a URL (`file://` is a folder, anything else goes through fsspec).

    `cache` is the local folder of a remote store and must be given for one. Raises `UsageError` when the URL means
    nothing or a package for it is missing.
    """
    if isinstance(where, Path) or not _URL.match(where):
        return ArtifactStore(Path(where))
    if where.startswith("file://"):
        return ArtifactStore(Path(unquote(urlsplit(where).path)))
    if cache is None:
        raise UsageError(f"artifacts at {public(where)} need a local folder as cache")
    from gome.kernel.artifacts_remote import RemoteStore

    return RemoteStore(where, cache)


def public(url: str) -> str:
    """Return a URL without its credentials."""
    return re.sub(r"//[^/@]*@", "//***@", url)


def is_digest(text: str) -> bool:
    """Say whether a text has the form of a digest."""
    return _DIGEST.fullmatch(text) is not None


def digest_at(path: Path) -> str:
    """Return the digest of a file's bytes, read in pieces."""
    with open(path, "rb") as file:
        return "sha256-" + hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


if TYPE_CHECKING:

    def _fits(store: ArtifactStore) -> Artifacts:
        return store

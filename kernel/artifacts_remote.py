"""The artifact store of many machines: any URL that fsspec knows (S3 and the like), with a local folder as cache.

The only home of fsspec, which is imported when such a store is opened. `gome.kernel.artifacts.open_store` makes these.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gome.events.artifact import digest_of
from gome.kernel.artifacts import ArtifactDamaged, ArtifactStore, is_digest, public
from gome.kernel.errors import ArtifactMissing, GomeError, UsageError


class RemoteStore(ArtifactStore):
    """A store at any URL that fsspec knows, for many machines; `cache` is a local folder that holds what was used."""

    def __init__(self, url: str, cache: Path) -> None:
        super().__init__(cache)
        core = _fsspec(url)
        try:
            self._remote, self._base = core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UsageError(f"artifacts cannot be kept at {public(url)}: {error}") from error
        self._url = public(url)
        self._sent: set[str] = set()

    @property
    def name(self) -> str:
        return self._url

    def put(self, data: bytes) -> str:
        """Store bytes remotely, then in the cache. An object store takes an object whole or not at all."""
        digest = digest_of(data)
        self._upload(digest, len(data), lambda there: self._remote.pipe_file(there, data))
        return super().put(data)

    def put_file(self, path: Path) -> str:
        """Store a file's bytes; like `put`. What is uploaded is the cached copy, which has the right digest."""
        digest = super().put_file(path)
        copy = super().path(digest)
        self._upload(digest, copy.stat().st_size, lambda there: self._remote.put_file(str(copy), there))
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes of a digest, checked; a damaged copy in the cache is fetched again."""
        try:
            return super().get(digest)
        except ArtifactDamaged:
            self._fetch(digest)
            return super().get(digest)

    def path(self, digest: str) -> Path:
        """Return the file in the cache, fetched (and checked) if need be."""
        if not super().has(digest):
            self._fetch(digest)
        return super().path(digest)

    def has(self, digest: str) -> bool:
        """Say whether the store or its cache holds a digest."""
        return super().has(digest) or (is_digest(digest) and bool(self._remote.exists(self._there(digest))))

    def _there(self, digest: str) -> str:
        place = self._place(digest)
        return f"{self._base.rstrip('/')}/{place.parent.name}/{place.name}"

    def _fetch(self, digest: str) -> None:
        there = self._there(digest)
        try:
            data = self._remote.cat_file(there)
        except FileNotFoundError:
            raise ArtifactMissing(f"artifact {digest} is not in {self.name} (cache: {self.root})") from None
        except Exception as error:  # fsspec's file systems raise their own
            raise GomeError(f"cannot fetch artifact {digest} from {self.name}: {error}") from error
        if digest_of(data) != digest:
            raise ArtifactDamaged(f"artifact {digest} is damaged: its bytes in {self.name} have another digest")
        super().put(data)

    def _upload(self, digest: str, size: int, send: Callable[[str], object]) -> None:
        # The cache says nothing about the other side: its folder may have been a store of its own before.
        if digest in self._sent:
            return
        there = self._there(digest)
        try:
            if not self._is_there(there, size):
                with contextlib.suppress(NotImplementedError):
                    self._remote.makedirs(there.rpartition("/")[0], exist_ok=True)
                send(there)
            self._sent.add(digest)
        except Exception as error:  # fsspec's file systems raise their own
            raise GomeError(f"cannot store artifact {digest} in {self.name}: {error}") from error

    def _is_there(self, there: str, size: int) -> bool:
        try:
            return bool(self._remote.size(there) == size)
        except FileNotFoundError:
            return False


def _fsspec(url: str) -> Any:
    try:
        return importlib.import_module("fsspec.core")
    except ImportError as error:
        raise UsageError(
            f"artifacts at {public(url)} need fsspec: install gome[s3], or keep them in a folder"
        ) from error

"""Keeps a program's output without letting it fill memory or disk: a file up to a cap, and head and tail for the event.

Whatever comes after the cap is read and dropped, so that a chatty program is slowed by nothing and never blocks.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import anyio
from anyio.abc import ByteReceiveStream


class Capture:
    """Head and tail (half of `keep` bytes each) of a stream that is also written to `path`, up to `cap` bytes."""

    def __init__(self, path: Path, keep: int, cap: int) -> None:
        self.path = path
        self.half = keep // 2
        self.cap = cap
        self.head = b""
        self.tail = b""
        self.total = 0

    async def drain(self, stream: ByteReceiveStream) -> None:
        """Read a stream to its end."""
        with open(self.path, "wb", buffering=0) as file:
            try:
                async for chunk in stream:
                    self._take(chunk, file)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return

    def _take(self, chunk: bytes, file: BinaryIO) -> None:
        if self.total < self.cap:
            file.write(chunk[: self.cap - self.total])
        self.total += len(chunk)
        if len(self.head) < self.half:
            taken = self.half - len(self.head)
            self.head, chunk = self.head + chunk[:taken], chunk[taken:]
        if chunk:
            self.tail = (self.tail + chunk)[-self.half :]

    def text(self) -> str:
        """What the event carries: everything, or head and tail with a line between that says how much is missing."""
        missing = self.total - len(self.head) - len(self.tail)
        gap = f"\n[… {missing} bytes left out …]\n".encode() if missing > 0 else b""
        return (self.head + gap + self.tail).decode("utf-8", "replace").replace("\x00", "\ufffd")

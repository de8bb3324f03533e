"""Keeps a program's output without letting it fill memory or disk: a file up to a cap, and an excerpt for the event.

The excerpt is head and tail and, between them, lines of the part left out that report scores (`scorelines.py`), so
that what a long training log says last about a fold is not lost. Whatever comes after the cap is read and dropped:
a chatty program is slowed by nothing and never blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio.abc import ByteReceiveStream

from gome.plugins.runner.sandbox.scorelines import LINE, ScoreLines


class Capture:
    """Head and tail (half of `keep` bytes each) of a stream that is also written to `path`, up to `cap` bytes; of what
    lies between at most an eighth of `keep` in lines that report scores, `names` being metrics to look for."""

    def __init__(self, path: Path, keep: int, cap: int, names: Sequence[str] = ()) -> None:
        self.path = path
        self.half = keep // 2
        self.cap = cap
        self.head = b""
        self.tail = bytearray()
        self.total = 0
        self.scores = ScoreLines(keep // 8, names)

    async def drain(self, stream: ByteReceiveStream) -> None:
        """Read a stream to its end."""
        with open(self.path, "wb", buffering=0) as file:
            try:
                async for chunk in stream:
                    self._take(chunk, file)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass
            if self.total > self.cap:
                file.write(f"\n[… {self.total - self.cap} bytes left out …]\n".encode())

    def _take(self, chunk: bytes, file: BinaryIO) -> None:
        if self.total < self.cap:
            file.write(chunk[: self.cap - self.total])
        self.total += len(chunk)
        if len(self.head) < self.half:
            taken = self.half - len(self.head)
            self.head, chunk = self.head + chunk[:taken], chunk[taken:]
            if len(self.head) == self.half:  # a line that the head cuts in two is looked at whole
                self.scores.begin(self.head[-LINE:].splitlines()[-1] if self.half else b"")
        self.tail += chunk
        # Moving the tail along costs its length, so it is done when it has become twice as long as it need be.
        if len(self.tail) > 2 * self.half:
            self._let_go()

    def _let_go(self) -> None:
        gone = len(self.tail) - self.half
        if gone > 0:
            self.scores.take(bytes(self.tail[:gone]))
            del self.tail[:gone]

    @property
    def cut(self) -> bool:
        """Whether the stream is longer than what `text` shows of it."""
        return self.total > 2 * self.half

    def text(self) -> str:
        """What the event carries: everything, or head and tail with a remark between that says how much is missing and
        repeats the lines of it that report scores."""
        self._let_go()
        middle = b""
        missing = self.total - len(self.head) - len(self.tail)
        if missing > 0:
            middle = f"\n[… {missing} bytes left out …]\n".encode()
            lines, more = self.scores.found(bytes(self.tail[:LINE]))
            if lines:
                last = "there may be more of them" if more else "end of them"
                begin = f"\n[… {missing} bytes left out; lines of them that report scores:]\n".encode()
                middle = begin + b"\n".join(lines) + f"\n[… {last} …]\n".encode()
        return (self.head + middle + self.tail).decode("utf-8", "replace").replace("\x00", "\ufffd")

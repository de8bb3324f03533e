"""Lines of a program's output that report a score, found among any amount of others without being slowed by them.

A line counts when it has one of the words below, or a metric's name, followed within 80 characters by a number:

    Fold 3 rmse: 0.1234        valid_0's auc: 0.91        cv score = 0.88 ± 0.01        oof 0.4312
    score fold valid validation val oof cv, metrics of `gome.events.METRICS` and the task's own

Words stand alone or between underscores (`val_rmse`, not `value`), in any case. Bytes are only searched for the words;
the pattern looks at lines that have one. All of it ends when the room for lines is used up, after `LOOKS` lines with a
word and after `SCANNED` bytes: a program that prints a gigabyte of whatever buys a second of our time with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gome.events import METRICS

WORDS = ("score", "fold", "valid", "validation", "val", "oof", "cv")
USUAL = ("auc", "logloss", "kappa", "mse", "rmse", "mae", "accuracy", "acc", "f1")
"""Short names that libraries print for metrics."""

LINE = 400
"""Bytes beyond which a line is no report of a score."""
LOOKS = 20_000
"""Lines at most that are looked at with the pattern."""
SCANNED = 64 << 20
"""Bytes at most that are searched."""

_ENDS = re.compile(rb"[\r\n]+")


def pattern(names: Sequence[str]) -> re.Pattern[bytes]:
    """The pattern of a line that reports a score, for these metrics besides the known ones."""
    every = dict.fromkeys((*WORDS, *USUAL, *METRICS, *(name.lower() for name in names)))
    # Underscores of a metric's name are printed as spaces or dashes, too.
    words = sorted((re.escape(word).replace("_", "[ _-]?") for word in every), key=lambda word: (-len(word), word))
    number = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+|nan|inf)(?![a-z_])"
    return re.compile(f"(?<![a-z])(?:{'|'.join(words)})s?(?![a-z]).{{0,80}}?(?<![a-z]){number}".encode(), re.I)


def stems(names: Sequence[str]) -> tuple[bytes, ...]:
    """The shortest strings of which every line that fits the pattern has one, in lower case."""
    every = {re.split(r"[ _-]", word.lower())[0] for word in (*WORDS, *USUAL, *METRICS, *names)} - {""}
    shortest = [word for word in every if not any(other in word for other in every - {word})]
    return tuple(sorted(word.encode() for word in shortest))


class ScoreLines:
    """Collects lines from a stream of bytes, at most `room` bytes of them, in order."""

    def __init__(self, room: int, names: Sequence[str] = ()) -> None:
        self.room = room
        self.lines: list[bytes] = []
        self.full = False
        self._looks = LOOKS
        self._bytes = SCANNED
        self._rest = b""
        self._pattern = pattern(names)
        self._stems = re.compile(b"|".join(map(re.escape, stems(names))))

    def begin(self, rest: bytes) -> None:
        """Say what the line begins with whose end comes first."""
        self._rest = rest

    def take(self, data: bytes) -> None:
        """Look at the next bytes of the stream."""
        if self.full:
            return
        self._bytes -= len(data)
        last = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not last:
            # Without an end in sight only the beginning can matter, and only to find the line too long.
            self._rest = (self._rest + data)[: LINE + 1]
            return
        self._search(self._rest + data[:last])
        self._rest = data[last:][: LINE + 1]
        self.full |= self._bytes <= 0

    def found(self, after: bytes) -> tuple[list[bytes], bool]:
        """Return the lines, and whether there may be more. `after` is what follows in the stream: the last line may end
        there."""
        if not self.full and self._rest:
            rest, self._rest = self._rest, b""
            self._look(rest + _ENDS.split(after, maxsplit=1)[0])
        return self.lines, self.full

    def _search(self, data: bytes) -> None:
        lower = data.lower()
        at = 0
        while (hit := self._stems.search(lower, at)) and not self.full:
            begin = max(data.rfind(b"\n", 0, hit.start()), data.rfind(b"\r", 0, hit.start())) + 1
            end = _ENDS.search(data, hit.end())
            at = end.end() if end else len(data)
            self._look(data[begin : end.start() if end else len(data)])

    def _look(self, line: bytes) -> None:
        self._looks -= 1
        if len(line) <= LINE and self._pattern.search(line):
            self.room -= len(line) + 1
            if self.room >= 0:
                self.lines.append(line)
        self.full = self.room < 0 or self._looks <= 0

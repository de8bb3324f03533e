"""A stand-in for `pynvml`: answers as data behind the functions that gome calls, held to the same contract as the
module itself where there is a card (`test_nvml.py`).

The answers have the shape of two data-centre cards in a machine with a desktop process on the first; `used` and `busy`
change them while a test goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

GIB = 1 << 30


class NVMLError(Exception):
    pass


@dataclass
class FakeCard:
    """One card's answers: bytes, percent, and bytes by process; None where the driver has no answer."""

    uuid: str
    name: str = "NVIDIA H100 80GB HBM3"
    total: int = 80 * GIB
    minor: int | None = 0
    mig: int | None = 0
    idle: int = GIB // 2
    used: Callable[[], dict[int, int | None]] = dict
    busy: Callable[[], dict[int, int]] | None = dict
    utilisation: int = 0


@dataclass
class Double:
    """The module."""

    cards: list[FakeCard] = field(default_factory=list)
    broken: str = ""
    NVMLError: type[Exception] = NVMLError

    def nvmlInit(self) -> None:
        if self.broken:
            raise NVMLError(self.broken)

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeCard:
        return self.cards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeCard:
        for card in self.cards:
            if card.uuid == uuid:
                return card
        raise NVMLError("Not Found")

    def nvmlDeviceGetUUID(self, handle: FakeCard) -> str:
        return handle.uuid

    def nvmlDeviceGetName(self, handle: FakeCard) -> str:
        return handle.name

    def nvmlDeviceGetMinorNumber(self, handle: FakeCard) -> int:
        return _known(handle.minor)

    def nvmlDeviceGetMigMode(self, handle: FakeCard) -> list[int]:
        return [_known(handle.mig), 0]

    def nvmlDeviceGetMemoryInfo(self, handle: FakeCard) -> Any:
        used = handle.idle + sum(size or 0 for size in handle.used().values())
        return SimpleNamespace(total=handle.total, used=used, free=handle.total - used)

    def nvmlDeviceGetUtilizationRates(self, handle: FakeCard) -> Any:
        return SimpleNamespace(gpu=handle.utilisation, memory=0)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: FakeCard) -> Sequence[Any]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in handle.used().items()]

    def nvmlDeviceGetProcessUtilization(self, handle: FakeCard, since: int) -> Sequence[Any]:
        if handle.busy is None or not (samples := handle.busy()):
            raise NVMLError("Not Found")  # what the library says when nobody was busy
        return [SimpleNamespace(pid=pid, smUtil=percent, timeStamp=since + 1) for pid, percent in samples.items()]


def _known(value: int | None) -> int:
    if value is None:
        raise NVMLError("Not Supported")
    return value


def two_cards() -> Double:
    """A machine with two equal cards."""
    return Double([FakeCard("GPU-aaaa1111-0000", minor=0), FakeCard("GPU-aaaa2222-0000", minor=1)])

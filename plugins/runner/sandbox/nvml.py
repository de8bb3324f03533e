"""NVIDIA's management library through `nvidia-ml-py` (module `pynvml`, extra `gome[gpu]`): which cards there are, and
how busy and full one is just now. It touches no CUDA context and changes no setting of a card.

`Library` is all that is asked of the module; tests put recorded answers in its place. Used by `cards.py` and
`telemetry.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeVar, cast

T = TypeVar("T")


class Library(Protocol):
    """The functions of `pynvml` that are called here; each raises its `NVMLError`. Memory is in bytes, utilisation in
    percent, time in microseconds."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...
    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Any: ...
    def nvmlDeviceGetUUID(self, handle: Any) -> str: ...
    def nvmlDeviceGetName(self, handle: Any) -> str: ...
    def nvmlDeviceGetMinorNumber(self, handle: Any) -> int: ...
    def nvmlDeviceGetMigMode(self, handle: Any) -> Sequence[int]: ...
    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any: ...
    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any: ...
    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> Sequence[Any]: ...
    def nvmlDeviceGetProcessUtilization(self, handle: Any, since: int) -> Sequence[Any]: ...


@dataclass(frozen=True)
class Card:
    """A graphics card: what CUDA calls it (its UUID, or its index where that is not known), its place on the bus, and
    memory in MiB (0: not known). `minor` is the number of its device file; a card that is split into instances
    (`mig`) is not one to give programs."""

    id: str
    index: int
    name: str
    memory_mb: int = 0
    minor: int | None = None
    mig: bool = False


@dataclass(frozen=True)
class Reading:
    """A look at a card: how busy in [0, 1] and how full in MiB it is, and the same by process where it says so."""

    busy: float
    used_mb: float
    used_by: dict[int, float] = field(default_factory=dict)
    busy_by: dict[int, float] = field(default_factory=dict)


class NoNvml(Exception):
    """The library cannot be used; `driver` says whether there is a driver all the same."""

    def __init__(self, reason: str, *, driver: bool) -> None:
        super().__init__(reason)
        self.driver = driver


@lru_cache(maxsize=1)
def library() -> Library | None:
    """The installed module, if it is."""
    try:
        return cast(Library, importlib.import_module("pynvml"))
    except ImportError:
        return None


class Nvml:
    """The library, initialised. Raises `NoNvml`."""

    def __init__(self, lib: Library) -> None:
        self.lib = lib
        try:
            lib.nvmlInit()
        except lib.NVMLError as error:
            # Without the shared library there is no driver, and nothing wrong.
            raise NoNvml(f"NVML: {error}", driver="Library Not Found" not in str(error)) from None

    def cards(self) -> list[Card]:
        """All cards of the machine in the order of the bus. Raises `NoNvml` when one cannot be asked."""
        lib = self.lib
        try:
            handles = [lib.nvmlDeviceGetHandleByIndex(index) for index in range(lib.nvmlDeviceGetCount())]
            return [
                Card(
                    id=lib.nvmlDeviceGetUUID(handle),
                    index=index,
                    name=lib.nvmlDeviceGetName(handle),
                    memory_mb=int(lib.nvmlDeviceGetMemoryInfo(handle).total) >> 20,
                    minor=self._or(lambda h=handle: lib.nvmlDeviceGetMinorNumber(h), None),  # type: ignore[misc]
                    mig=bool(self._or(lambda h=handle: lib.nvmlDeviceGetMigMode(h)[0], 0)),  # type: ignore[misc]
                )
                for index, handle in enumerate(handles)
            ]
        except lib.NVMLError as error:
            raise NoNvml(f"NVML: {error}", driver=True) from None

    def look(self, card: str, since: int) -> Reading:
        """A look at a card by its UUID; of processes what they did after `since` (microseconds of the epoch). Raises
        `NoNvml` when the card is gone."""
        lib = self.lib
        try:
            handle = lib.nvmlDeviceGetHandleByUUID(card)
            used = lib.nvmlDeviceGetMemoryInfo(handle).used / (1 << 20)
        except lib.NVMLError as error:
            raise NoNvml(f"NVML: {error}", driver=True) from None
        nobody: Sequence[Any] = ()
        running = self._or(lambda: lib.nvmlDeviceGetComputeRunningProcesses(handle), nobody)
        samples: dict[int, list[float]] = {}
        for sample in self._or(lambda: lib.nvmlDeviceGetProcessUtilization(handle, since), nobody):
            samples.setdefault(int(sample.pid), []).append(sample.smUtil / 100)
        return Reading(
            busy=self._or(lambda: lib.nvmlDeviceGetUtilizationRates(handle).gpu / 100, 0.0),
            used_mb=used,
            used_by={int(p.pid): p.usedGpuMemory / (1 << 20) for p in running if p.usedGpuMemory is not None},
            busy_by={pid: sum(found) / len(found) for pid, found in samples.items()},
        )

    def _or(self, ask: Callable[[], T], otherwise: T) -> T:
        """What not every card, driver or container can say."""
        try:
            return ask()
        except self.lib.NVMLError:
            return otherwise

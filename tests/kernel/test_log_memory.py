"""The memory log keeps the contract."""

from __future__ import annotations

import pytest

from gome.kernel.log_memory import MemoryLog
from tests.kernel.log_contract import LogContract, Tamper


class TestMemoryLog(LogContract):
    @pytest.fixture
    def log(self) -> MemoryLog:
        return MemoryLog()

    @pytest.fixture
    def another(self) -> None:
        return None

    @pytest.fixture
    def tamper(self, log: MemoryLog) -> Tamper:
        async def tamper(run: str, number: int, how: str) -> None:
            stored, ends = log._stored[run], log._ends[run]
            if how == "drop":
                del stored[number - 1], ends[number - 1]
                log._heads[run] = log._heads[run].__class__(run, ends[-1], "", 0.0, 0.0, len(stored))
            else:
                stored[number - 1] = stored[number - 1].replace(b"xxx", b"xyx", 1)

        return tamper

"""The file log keeps the contract, survives torn writes, and lets several processes append."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from gome.events import Head
from gome.kernel.errors import LogDamaged
from gome.kernel.log_file import FileLog
from tests.kernel.log_contract import LogContract, Tamper, assert_whole, draft, everything, fill


class FileLogContract(LogContract):
    @pytest.fixture
    def another(self, log: FileLog) -> FileLog:
        return FileLog(log.path, glance=0.05)

    @pytest.fixture
    def tamper(self, log: FileLog) -> Tamper:
        async def tamper(run: str, number: int, how: str) -> None:
            path = log.path if log.path.suffix else log.path / f"{run}.jsonl"
            lines = path.read_bytes().splitlines(keepends=True)
            if how == "drop":
                del lines[number - 1]
            else:
                lines[number - 1] = lines[number - 1].replace(b"xxx", b"xyx", 1)
            path.write_bytes(b"".join(lines))
            # As another process would find it: nothing remembered of what was there.
            log._journals.clear()

        return tamper


class TestFileLogInAFolder(FileLogContract):
    @pytest.fixture
    def log(self, tmp_path: Path) -> FileLog:
        return FileLog(tmp_path / "log")


class TestFileLogInOneFile(FileLogContract):
    @pytest.fixture
    def log(self, tmp_path: Path) -> FileLog:
        return FileLog(tmp_path / "archive.jsonl")


@pytest.fixture
def log(tmp_path: Path) -> FileLog:
    return FileLog(tmp_path / "log")


@pytest.mark.anyio
async def test_every_line_is_json_that_any_tool_reads(log: FileLog) -> None:
    await fill(log, "r1", 3)
    lines = (log.path / "r1.jsonl").read_text().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 4, 7]


@pytest.mark.anyio
@pytest.mark.parametrize("cut", [1, 40, 400])
async def test_a_line_torn_by_a_crash_is_passed_over_and_cut_off_by_the_next_append(log: FileLog, cut: int) -> None:
    done = await fill(log, "r1", 3)
    path = log.path / "r1.jsonl"
    path.write_bytes(path.read_bytes()[: -cut - 1])
    log = FileLog(log.path)
    assert await everything(log, "r1") == done[:2]
    assert await log.head("r1") == done[1].head
    again = await log.append(draft("r1", "again"), done[1].head)
    assert await everything(log, "r1") == [*done[:2], again]
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.anyio
async def test_a_torn_line_longer_than_the_next_record_leaves_nothing_behind(log: FileLog) -> None:
    done = await fill(log, "r1", 1)
    path = log.path / "r1.jsonl"
    with path.open("ab") as file:
        file.write(b"x" * 50_000)
    done += await fill(FileLog(log.path), "r1", 1)
    assert path.read_bytes() == b"".join(r.stored + b"\n" for r in done)


@pytest.mark.anyio
async def test_a_whole_last_line_without_newline_counts(log: FileLog) -> None:
    done = await fill(log, "r1", 2)
    path = log.path / "r1.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    log = FileLog(log.path)
    assert await everything(log, "r1") == done
    more = await fill(log, "r1", 2)
    assert await everything(FileLog(log.path), "r1") == [*done, *more]


@pytest.mark.anyio
async def test_any_flipped_byte_of_an_archive_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    await fill(FileLog(path), "r1", 3, events=1, size=5)
    data = path.read_bytes()
    for place in range(0, len(data) - 1, 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x01]) + data[place + 1 :])
        with pytest.raises(LogDamaged):
            await everything(FileLog(path), "r1")


@pytest.mark.anyio
async def test_damage_in_one_run_of_an_archive_leaves_the_others_readable(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "a.jsonl")
    for run in ("a", "b"):
        await fill(log, run, 3)
    path = log.path
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1][:-20] + b"\n"
    path.write_bytes(b"".join(lines))
    log = FileLog(path)
    with pytest.raises(LogDamaged) as caught:
        await everything(log, "a")
    assert (caught.value.run, caught.value.position) == ("a", 4)
    assert len(await everything(log, "b")) == 3


@pytest.mark.anyio
async def test_nothing_is_appended_to_a_damaged_run(log: FileLog) -> None:
    done = await fill(log, "r1", 2)
    path = log.path / "r1.jsonl"
    path.write_bytes(path.read_bytes() + b"garbage\n")
    with pytest.raises(LogDamaged, match="line 3"):
        await FileLog(log.path).append(draft("r1", "x"), done[-1].head)


WRITER = """
import asyncio, sys
from gome.events import Head
from gome.kernel.errors import Conflict
from gome.kernel.log_file import FileLog
from log_contract import draft

async def main():
    log = FileLog(sys.argv[1])
    for i in range(30):
        head = await log.head("r1")
        while True:
            try:
                await log.append(draft("r1", f"{sys.argv[2]}-{i}"), head)
                break
            except Conflict as conflict:
                head = conflict.head

asyncio.run(main())
"""


@pytest.mark.anyio
async def test_several_processes_append_by_turns(log: FileLog) -> None:
    here = Path(__file__).parent
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(log.path), str(i), cwd=here)
        for i in range(3)
    ]
    assert [await p.wait() for p in processes] == [0, 0, 0]
    records = await everything(log, "r1")
    assert_whole(records)
    assert sorted(r.body.answers for r in records) == sorted(f"{p}-{i}" for p in range(3) for i in range(30))


@pytest.mark.anyio
async def test_records_of_another_run_under_this_ones_name_are_damage(log: FileLog) -> None:
    await fill(log, "r1", 1)
    (log.path / "r1.jsonl").rename(log.path / "r2.jsonl")
    with pytest.raises(LogDamaged, match="r2"):
        await everything(FileLog(log.path), "r2")
    assert await FileLog(log.path).head("r3") == Head("r3")

"""What the watchdog sees of the disk that an execution holds."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from gome.plugins.runner.sandbox import disk
from gome.plugins.runner.sandbox.disk import Disk, look_at, nameless


def test_a_look_counts_bytes_on_disk_and_entries_and_follows_no_links(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_bytes(bytes(1 << 20))
    os.truncate(os.open(tmp_path / "sparse", os.O_CREAT | os.O_WRONLY), 1 << 30)
    (tmp_path / "link").symlink_to("/usr")
    seen = look_at(tmp_path)
    assert (seen.files, seen.hidden) == (5, False)
    assert 1 << 20 <= seen.size < 2 << 20


def test_folders_deeper_than_a_path_can_say_are_told_apart(tmp_path: Path) -> None:
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(here)
    assert look_at(tmp_path).hidden


def test_files_without_a_name_count_while_they_are_open_or_mapped(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    before = nameless([os.getpid()], device)
    with open(tmp_path / "f", "w+b") as file:
        file.write(bytes(1 << 20))
        file.flush()
        os.unlink(tmp_path / "f")
        held = mmap.mmap(file.fileno(), 1 << 20)
        opened = nameless([os.getpid()], device)
    mapped = nameless([os.getpid()], device)
    held.close()
    after = nameless([os.getpid()], device)
    assert before is not None and opened is not None and mapped is not None
    assert opened - before >= 1 << 20 and mapped - before >= 1 << 20 and after == before


def test_too_many_files_are_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MAX_FILES", 10)
    watched = Disk(tmp_path, 1 << 30)
    watched.due = 0.0
    for number in range(10):
        (tmp_path / str(number)).touch()
    assert not watched.exceeded([])
    (tmp_path / "one more").touch()
    watched.due = 0.0
    assert watched.exceeded([])

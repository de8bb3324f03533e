"""Programs that use up what all share: disk, memory, processes, time, the reader of their output."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.conftest import Fort

SMALL = {"disk_mb": 16, "memory_mb": 120}
WATCHED = {"cgroups": False}
"""As on machines where no memory cgroup can be made."""

DISK = ("fill_disk", "fill_disk_unseen", "fill_disk_mapped", "fill_disk_allocated")


@pytest.mark.parametrize("name", DISK)
def test_the_disk_cannot_be_filled(fort: Fort, name: str) -> None:
    found = fort.attack(name, limits={**SMALL, "memory_mb": 400, "seconds": 15})
    assert found.result["failure"] == "killed"
    assert "into the working folder" in found.result["error"]


def test_a_million_empty_files_are_cleared_away(fort: Fort) -> None:
    found = fort.attack("tiny_files", limits={**SMALL, "seconds": 1.5})
    assert found.result["failure"] in ("time", "killed")


def test_files_hidden_behind_endless_folders_are_noticed_and_cleared_away(fort: Fort) -> None:
    found = fort.attack("fill_disk_deep", limits={**SMALL, "seconds": 15})
    assert found.result["failure"] in ("contract", "killed")


def test_sparse_outputs_do_not_fill_the_store(fort: Fort) -> None:
    before = fort.attack("fake_scores").stored
    found = fort.attack("sparse_outputs", limits=SMALL)
    assert found.result["ok"], found.result["error"]
    assert found.stored - before <= 17 << 20
    assert "more than" in found.result["stderr"]


@pytest.mark.parametrize("cgroups", [True, False])
@pytest.mark.parametrize("name", ["eat_memory", "eat_memory_in_children"])
def test_memory_cannot_be_eaten(fort: Fort, name: str, cgroups: bool) -> None:
    found = fort.attack(name, limits=SMALL, settings={"cgroups": cgroups})
    assert found.result["failure"] == "memory"


@pytest.mark.parametrize("settings", [{}, WATCHED])
def test_files_in_memory_count_as_memory(fort: Fort, settings: dict[str, Any]) -> None:
    found = fort.attack("eat_memory_files", limits={**SMALL, "seconds": 10}, settings=settings)
    assert found.result["failure"] == "memory"


@pytest.mark.parametrize("name", ["eat_unnamed_memory", "open_files", "large_file"])
def test_what_belongs_to_no_process_is_refused(fort: Fort, name: str) -> None:
    found = fort.attack(name, limits=SMALL)
    assert found.lost or found.result["failure"] == "killed"


@pytest.mark.parametrize("name", ["eat_pipes", "tiny_temporary_files"])
def test_kernel_memory_is_bounded(fort: Fort, name: str) -> None:
    found = fort.attack(name, limits=SMALL, settings=WATCHED)
    assert found.lost or found.result["failure"] == "memory", found.result["error"]


@pytest.mark.parametrize("name", ["fork_bomb", "burn_cpu"])
def test_what_never_ends_dies_by_the_clock(fort: Fort, name: str) -> None:
    found = fort.attack(name, limits={"seconds": 0.6, "processes": 32})
    assert found.result["failure"] == "time"


def test_threads_are_limited(fort: Fort) -> None:
    found = fort.attack("thread_bomb", limits={"processes": 32})
    assert "start new thread" in found.lost["threads"]


@pytest.mark.parametrize("name", ["print_a_gigabyte", "print_one_line"])
def test_endless_output_is_cut_to_its_head_and_tail(fort: Fort, name: str) -> None:
    found = fort.attack(name, limits={"seconds": 60}, settings={"stream_mb": 1})
    assert found.result["failure"] == "contract"  # it has left no files, and is not stopped for its output
    for stream in ("stdout", "stderr"):
        assert len(found.result[stream]) < 300_000
    if name == "print_a_gigabyte":
        text = found.result["stdout"]
        assert text.startswith("first\n") and "last\n" in text[-200:] and "bytes left out" in text


def test_output_made_to_slow_its_reader_does_not(fort: Fort) -> None:
    found = fort.attack("forge_traceback")
    assert not found.result["ok"]
    assert len(found.result["error"]) < 10_000

"""Programs that outlive their end, reach into other processes, or become more than they are."""

from __future__ import annotations

import platform

import pytest

from tests.attacks.conftest import Fort

ATTACKS = ("outlive", "trace_others", "signal_others", "gain_rights", "make_namespaces", "mount_things")


@pytest.mark.parametrize("name", ATTACKS)
def test_there_is_no_way_out(fort: Fort, name: str) -> None:
    found = fort.attack(name)
    assert found.lost, "it has tried nothing"
    assert found.result["exit_code"] == 0, found.result["stderr"]


def test_whoever_ignores_every_signal_is_killed_with_all_its_children(fort: Fort) -> None:
    found = fort.attack("outlive_alarm", limits={"seconds": 0.5})
    assert found.result["failure"] == "time"


def test_the_kernel_refuses_what_programs_have_broken_out_through(fort: Fort) -> None:
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("no numbers of system calls for this machine")
    found = fort.attack("call_the_kernel")
    assert len(found.lost) > 20
    assert set(found.lost.values()) <= {"EPERM", "ENOSYS"}


def test_system_calls_of_another_numbering_are_not_answered(fort: Fort) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("there is only one numbering here")
    found = fort.attack("call_by_another_door")
    assert "calling" in found.result["stdout"] and "answered" not in found.result["stdout"]
    assert (found.result["failure"], found.result["signal"]) in (("killed", 31), ("killed", 11))

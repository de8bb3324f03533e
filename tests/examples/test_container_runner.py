"""The template of a runner with containers: its command line, its errors, and, where an engine is installed, real ones.

The image is made of this machine's own Python and kept in a storage of the test's own; nothing is pulled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from gome.events import Limits
from gome.kernel.errors import SandboxUnavailable
from gome.kernel.plugin import Plugin
from gome.kernel.rehearsal import recorded
from gome.kernel.testing import conform, conform_runner
from gome.plugins.runner.sandbox.custom import Job
from tests.architecture.tree import ROOT
from tests.examples.image import write_image

PACKAGE = ROOT / "tests" / "examples" / "gome-container-runner"
IMAGE = "gome-python:test"


@pytest.fixture(scope="module")
def plugin() -> Iterator[Plugin]:
    """The plugin that the package's entry point names."""
    (place,) = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["entry-points"][
        "gome.runners"
    ].values()
    sys.path.insert(0, str(PACKAGE))
    module, _, name = place.partition(":")
    yield getattr(import_module(module), name)
    sys.path.remove(str(PACKAGE))
    for name in [n for n in sys.modules if n.startswith("gome_container_runner")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A podman with a storage of its own that holds the image; the test is skipped where there is none that works."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed: no container was made")
    folder = tmp_path_factory.mktemp("podman")
    write_image(folder / "image.tar")
    problems = []
    for runtime in filter(shutil.which, ("runc", "crun")):
        command = _podman(folder / runtime, runtime)
        for arguments in (["import", str(folder / "image.tar"), IMAGE], ["run", "--rm", IMAGE, "python", "-c", "1"]):
            done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                problems.append((done.stderr.strip().splitlines() or ["it says nothing"])[-1])
                break
        else:
            yield command
            left = subprocess.run(
                [command, "ps", "--all", "--quiet"], capture_output=True, text=True, check=True
            ).stdout
            assert not left, f"containers were left behind: {left}"
            _unmount(folder)
            return
        _unmount(folder)
    pytest.skip(f"podman is installed but makes no containers here: {'; '.join(problems)}")


def _podman(folder: Path, runtime: str) -> str:
    folder.mkdir()
    # The first command of the fixture's own has no limits of its own, and podman's defaults may be more than allowed.
    (folder / "containers.conf").write_text(
        '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n'
        f'[engine]\nruntime = "{runtime}"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n'
    )
    storage = f"--root {folder}/root --runroot {folder}/run --storage-driver overlay"
    return script(folder / "podman", f'export CONTAINERS_CONF={folder}/containers.conf\nexec podman {storage} "$@"')


def script(path: Path, text: str) -> str:
    """An executable of a few lines of shell."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def _unmount(folder: Path) -> None:
    """The storage is a mount over itself, without which its folder cannot be removed."""
    for place in folder.glob("*/root/overlay"):
        if os.path.ismount(place):
            subprocess.run(["umount", str(place)], check=True)


def test_it_decides_as_the_sandbox_does_and_reads_its_own_table(plugin: Plugin) -> None:
    history = recorded(str(ROOT / "tests" / "recorded" / "ames-0.1.0" / "run.jsonl"))
    assert conform(plugin, history) > 0


def job(folder: Path, **fields: Any) -> Job:
    """An execution that is ready to start."""
    for name in ("box", "input"):
        (folder / name).mkdir()
    made: dict[str, Any] = {
        "intent": "ab" * 16,
        "folder": folder,
        "box": folder / "box",
        "inputs": folder / "input",
        "limits": Limits(seconds=5, cores=2, memory_mb=1000, disk_mb=10, processes=20, gpus=1),
        "env": {"GOME_SEED": "7"},
        "gpu": "",
        "metric": "rmse",
        "keep": 1000,
        "cap": 1000,
        "cancelled": lambda: False,
        "settings": {"image": IMAGE, "engine": "none-such-engine"},
    }
    return Job(**{**made, **fields})


def test_the_command_line_gives_a_program_nothing_but_its_folder(plugin: Plugin, tmp_path: Path) -> None:
    engine = import_module("gome_container_runner.engine")
    ready = job(tmp_path)
    found = engine.command_line(engine.Engine("docker", False, False, "27"), "gome-1", "sha256:1", ready, python="py")
    line = " ".join(found)
    for flags in (
        "docker run --rm --name gome-1 --interactive --pull never",
        "--network none",
        "--read-only",
        "--cap-drop ALL --security-opt no-new-privileges",
        f"--user {os.geteuid()}:{os.geteuid()}",
        "--memory 1048m --memory-swap 1048m --cpus 2",
        "--pids-limit 21",
        f"--ulimit fsize={10 << 20}:{10 << 20}",
        "--tmpfs /tmp:rw,nosuid,nodev,mode=1777,size=10m",
        f"type=bind,source={tmp_path}/box,target=/work --mount",
        f"type=bind,source={tmp_path}/input,target=/work/input,readonly",
        "--env GOME_SEED=7 --entrypoint py sha256:1 -I /gome/guard.py",
    ):
        assert flags in line
    assert line.count("type=bind") == 3 and "--privileged" not in line and "--gpus" not in line


def test_a_card_is_handed_in_as_each_engine_wants_it(plugin: Plugin, tmp_path: Path) -> None:
    engine = import_module("gome_container_runner.engine")
    ready = job(tmp_path, gpu="1")
    lines = [
        " ".join(engine.command_line(engine.Engine("e", podman, False, ""), "n", "i", ready, python="python"))
        for podman in (False, True)
    ]
    assert "--gpus device=1 " in lines[0] and "--device" not in lines[0]
    assert "--device nvidia.com/gpu=1 " in lines[1] and "--gpus" not in lines[1]


def test_an_engine_without_roots_rights_runs_programs_as_the_user_who_owns_the_folder(
    plugin: Plugin, tmp_path: Path
) -> None:
    engine = import_module("gome_container_runner.engine")
    ready, us = job(tmp_path), os.geteuid()
    docker, podman = (
        " ".join(engine.command_line(engine.Engine("e", is_podman, True, ""), "n", "i", ready, python="python"))
        for is_podman in (False, True)
    )
    assert "--user 0:0 " in docker and "--userns" not in docker
    assert f"--user {us}:{us} --userns keep-id" in podman


@pytest.mark.anyio
async def test_an_engine_that_is_missing_or_silent_is_said_with_what_to_do(plugin: Plugin, tmp_path: Path) -> None:
    execution = import_module("gome_container_runner.execution")
    ready = job(tmp_path)
    with pytest.raises(SandboxUnavailable, match=r"none-such-engine is not installed.*Try: install docker or podman"):
        await execution.clear(ready)
    silent = script(tmp_path / "docker", 'echo "Cannot connect to the daemon" >&2; exit 1')
    ready.settings["engine"] = silent
    with pytest.raises(
        SandboxUnavailable, match=r"does not answer \(Cannot connect to the daemon\)\. Try: start its daemon"
    ):
        await execution.run(ready)


@pytest.mark.anyio
async def test_an_image_that_is_missing_is_not_pulled_but_asked_for(plugin: Plugin, tmp_path: Path) -> None:
    execution = import_module("gome_container_runner.execution")
    asked = tmp_path / "asked"
    answers = f'echo "$@" >> {asked}\ncase "$1" in info) echo "27 []";; image) echo "no such image" >&2; exit 1;; esac'
    settings = {"engine": script(tmp_path / "docker", answers), "image": "python:none"}
    ready = job(tmp_path, settings=settings)
    with pytest.raises(SandboxUnavailable, match=r"no image 'python:none' \(no such image\).*docker pull python:none"):
        await execution.run(ready)
    del settings["image"]
    with pytest.raises(SandboxUnavailable, match=r"set container\.image"):
        await execution.run(ready)
    assert {line.split()[0] for line in asked.read_text().splitlines()} == {"--version", "info", "image"}


def test_the_guard_refuses_to_work_anywhere_but_in_a_container(plugin: Plugin) -> None:
    guard = PACKAGE / "gome_container_runner" / "guard.py"
    done = subprocess.run([sys.executable, "-I", str(guard)], input="{}\n", capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "first process of a container" in done.stderr


def test_the_doctor_says_which_engines_answer(plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = import_module("gome_container_runner.engine")
    assert plugin.checks is not None
    monkeypatch.setenv("PATH", str(tmp_path))
    engine.find.cache_clear()
    (check,) = plugin.checks()
    assert not check.ok and "docker is not" in check.detail and "podman is not" in check.detail
    assert check.advice.startswith("install docker")
    script(tmp_path / "podman", 'if [ "$1" = info ]; then echo "4.3.1 true"; else echo "podman version 4.3.1"; fi')
    (check,) = plugin.checks()
    assert (check.name, check.ok, check.detail) == (
        "container engine podman",
        True,
        "4.3.1 answers, without root's rights",
    )
    engine.find.cache_clear()


def test_a_container_that_is_just_ending_is_removed_a_moment_later(plugin: Plugin, tmp_path: Path) -> None:
    engine = import_module("gome_container_runner.engine")
    answers = f'echo "$1" >> {tmp_path}/asked\n[ "$1" = container ] || [ $(grep -c rm {tmp_path}/asked) -gt 2 ]'
    engine.Engine(script(tmp_path / "podman", answers), True, False, "").remove("gome-1")
    assert (tmp_path / "asked").read_text().split() == ["rm", "container", "rm", "container", "rm"]


@pytest.mark.slow
def test_containers_keep_the_contract_of_runners(plugin: Plugin, podman: str, tmp_path: Path) -> None:
    checks = conform_runner(plugin, tmp_path, {"engine": podman, "image": IMAGE})
    assert not [check for check in checks if not check.ok]
    assert len(checks) == 23


@pytest.mark.slow
@pytest.mark.anyio
async def test_the_report_of_the_guard_is_in_no_output(plugin: Plugin, podman: str, tmp_path: Path) -> None:
    execution = import_module("gome_container_runner.execution")
    ready = job(
        tmp_path, limits=Limits(seconds=20), settings={"engine": podman, "image": IMAGE}, keep=1000, cap=1 << 20
    )
    program = "import sys\nfor i in range(4000): print('line', i, file=sys.stderr)\nsys.exit(3)"
    (ready.box / "program.py").write_text(program)
    ran = await execution.run(ready)
    assert (ran.ended.exit_code, ran.ended.stop, ran.ended.whole) == (3, "", (tmp_path / "stderr",))
    assert ran.ended.stderr.endswith("line 3999\n")
    assert (tmp_path / "stderr").read_text().endswith("line 3998\nline 3999\n")
    assert ran.versions["image_digest"].startswith("sha256:") and ran.versions["python"]
    assert ran.ended.cpu_seconds > 0 and 1 < ran.ended.peak_mb < 200 and ran.ended.startup > 0

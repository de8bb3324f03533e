"""The agent folder: what MLE-bench reads of it, and its start script, started as the benchmark starts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from gome.kernel.errors import UsageError
from gome.plugins.bench.commands import bench
from gome.plugins.bench.mlebench.agent import write
from tests.architecture.tree import module_paths, project
from tests.plugins.tasks.mlebench.lookalikes import MAKERS

NOMAD = "nomad2018-predict-transparent-conductors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An agent folder under agents/, with a model."""
    path = tmp_path / "agents" / "gome"
    write(path, model="big-model", base_url="http://host:8000/v1", key="MY_KEY")
    return path


def entries(folder: Path) -> dict[str, Any]:
    """config.yaml as the benchmark reads it."""
    found: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())
    return found


def test_the_config_names_agents_as_the_registry_reads_them(folder: Path) -> None:
    found = entries(folder)
    assert list(found) == ["gome", "gome/dev", "gome/model"]
    for one in found.values():
        assert set(one) == {"start", "dockerfile", "kwargs_type", "kwargs", "env_vars"}
        assert (folder.parent / one["start"]).is_file() and (folder.parent / one["dockerfile"]).is_file()
        assert one["kwargs_type"] == "argparse" and isinstance(one["kwargs"], dict)
        assert all(isinstance(value, str) for value in one["env_vars"].values())
        assert int(one["env_vars"]["TIME_LIMIT_SECS"]) > 0
    assert found["gome"]["kwargs"] == {} and found["gome"]["env_vars"] == {"TIME_LIMIT_SECS": "86400"}


def test_keys_are_secrets_of_the_host_and_nowhere_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert entries(folder)["gome/model"]["env_vars"]["MY_KEY"] == "${{ secrets.MY_KEY }}"
    assert entries(folder)["gome/model"]["kwargs"] == {
        "reasoner": "gome",
        "model": "big-model",
        "fallback": "playbook",
        "base-url": "http://host:8000/v1",
        "set": 'openai.key_variable="MY_KEY"',
    }


def test_kwargs_are_flags_of_gome_run(folder: Path) -> None:
    from gome.kernel.cli.run import run

    flags = {option.removeprefix("--") for parameter in run.params for option in parameter.opts}
    assert set(entries(folder)["gome/model"]["kwargs"]) <= flags
    call = re.search(r"gome run .*?< /dev/null", (folder / "start.sh").read_text(), re.DOTALL)
    assert call and set(re.findall(r"--([a-z-]+)", call[0])) <= flags


def test_the_dockerfile_takes_the_four_folders_and_keeps_user_and_entry_point(folder: Path) -> None:
    lines = [line for line in (folder / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "FROM mlebench-env"
    assert {f"ARG {name}" for name in ("SUBMISSION_DIR", "LOGS_DIR", "CODE_DIR", "AGENT_DIR")} <= set(lines)
    text = "\n".join(lines)
    for name in ("SUBMISSION_DIR", "LOGS_DIR", "CODE_DIR", "AGENT_DIR"):
        assert f"{name}=${{{name}}}" in text
    assert "COPY . ${AGENT_DIR}" in lines and not re.search(r"^(USER|ENTRYPOINT|CMD)", text, re.MULTILINE)


def test_requirements_are_those_of_the_installed_gome(folder: Path) -> None:
    lines = (folder / "requirements.txt").read_text().split("\n")[:-1]
    assert set(lines) == {"setuptools>=77", *project()["project"]["dependencies"]}


def test_the_source_is_whole_and_says_what_it_installs(folder: Path) -> None:
    made = tomllib.loads((folder / "source" / "pyproject.toml").read_text())
    ours = project()
    assert made["project"]["version"] == ours["project"]["version"]
    assert sorted(made["tool"]["setuptools"]["packages"]) == sorted(ours["tool"]["setuptools"]["packages"])
    assert made["project"]["entry-points"] == ours["project"]["entry-points"]
    assert made["project"]["scripts"] == ours["project"]["scripts"]
    copied = {path.relative_to(folder / "source" / "gome").as_posix() for path in (folder / "source").rglob("*.py")}
    assert len(copied) == sum(len(module_paths(part)) for part in ("events", "kernel", "plugins"))


@pytest.mark.slow
def test_a_wheel_of_the_source_holds_every_file(folder: Path, tmp_path: Path) -> None:
    build = "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", build, str(tmp_path)]
    subprocess.run(command, cwd=folder / "source", check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = {
        p.relative_to(folder / "source").as_posix() for p in (folder / "source" / "gome").rglob("*") if p.is_file()
    }
    assert files <= names


@pytest.mark.parametrize("name", ["Gome", "my agent", "-x", "gome..x"])
def test_a_name_that_is_no_image_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names the image"):
        write(tmp_path / name)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "gome").mkdir()
    (tmp_path / "gome" / "mine.txt").write_text("")
    with pytest.raises(UsageError, match="there already"):
        write(tmp_path / "gome")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = CliRunner().invoke(bench, ["mle-bench-agent", str(tmp_path / "file" / "agent")])
    assert isinstance(said.exception, UsageError)
    assert re.search("cannot write .*agent: Not a directory; name another folder", str(said.exception))


def test_the_command_says_what_is_next(tmp_path: Path) -> None:
    said = CliRunner().invoke(bench, ["mle-bench-agent", str(tmp_path / "gome"), "--hours", "12"])
    assert said.exit_code == 0 and "python run_agent.py --agent-id gome" in said.output
    assert entries(tmp_path / "gome")["gome"]["env_vars"]["TIME_LIMIT_SECS"] == "43200"
    refused = CliRunner().invoke(bench, ["mle-bench-agent", str(tmp_path / "other"), "--base-url", "http://x"])
    assert isinstance(refused.exception, UsageError)


Box = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """Starts start.sh as the container would: its folders, its variables, a conda that has nothing to activate."""
    write(tmp_path / "agents" / "gome")
    home = tmp_path / "home"
    for name in ("agent", "submission", "logs", "code", "bin"):
        (home / name).mkdir(parents=True)
    (home / "agent" / "start.sh").write_bytes((tmp_path / "agents" / "gome" / "start.sh").read_bytes())
    program(home / "bin" / "conda", "echo 'conda() { :; }'")

    def start(competition: str, seconds: int, *flags: str, **extra: str) -> subprocess.CompletedProcess[str]:
        MAKERS[competition](tmp_path) if competition in MAKERS else (tmp_path / competition).mkdir()
        folders = {f"{name.upper()}_DIR": str(home / name) for name in ("agent", "submission", "logs", "code")}
        environment = {
            "PATH": f"{home / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "COMPETITION_ID": competition,
            "TIME_LIMIT_SECS": str(seconds),
            "DATA_DIR": str(tmp_path / competition / "prepared" / "public"),
            **folders,
            **extra,
        }
        command = ["bash", str(home / "agent" / "start.sh"), *flags]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return start


def program(path: Path, text: str) -> None:
    """An executable shell script."""
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


RECORDER = """
# Says what it was asked; a run hands in the sample's own values for its target, as gome writes results.
echo "$*" >> "$HOME/asked"
if [ "$1" = run ]; then
  while [ $# -gt 0 ]; do case $1 in --out) out=$2 ;; --target) target=$2 ;; esac; shift; done
  mkdir -p "$out/gome-x"
  (echo "row,$target"; for i in $(seq 200 239); do echo "$i,0.5"; done) > "$out/gome-x/submission.csv"
  touch "$out/gome-x/best_program.py" "$out/gome-x/REPORT.md"
else
  exec REAL "$@"
fi
"""


def test_every_target_is_run_short_and_long_and_the_runs_are_joined(box: Box, tmp_path: Path) -> None:
    home = tmp_path / "home"
    program(home / "bin" / "gome", RECORDER.replace("REAL", str(Path(sys.executable).parent / "gome")))
    ended = box(NOMAD, 86400, "--model", "m")
    assert ended.returncode == 0
    asked = [line for line in (home / "asked").read_text().splitlines() if line.startswith("run ")]
    assert [re.search(r"--run (\S+)", line)[1] for line in asked] == ["short-0", "short-1", "long-0", "long-1"]  # type: ignore[index]
    assert all(line.startswith(f"run mlebench:{NOMAD} --target ") and line.endswith("--model m") for line in asked)
    short, *_, long = (int(re.search(r"--time (\d+)s", line)[1]) for line in asked)  # type: ignore[index]
    assert 250 < short <= 300 and 80_000 < long < 86_400
    table = (home / "submission" / "submission.csv").read_text().splitlines()
    assert table[0] == "id,formation_energy_ev_natom,bandgap_energy_ev" and table[1] == "1,0.5,0.5" and len(table) == 41
    assert {path.name for path in (home / "code").iterdir()} == {"train_0.py", "train_1.py"}
    assert {path.name for path in (home / "logs").iterdir()} >= {"agent.log", "long-0.md", "short-1.md"}


@pytest.mark.slow
def test_without_a_finished_run_the_sample_is_handed_in(box: Box, tmp_path: Path) -> None:
    home = tmp_path / "home"
    failing = RECORDER.replace('if [ "$1" = run ]; then', 'if [ "$1" = run ]; then exit 1')
    program(home / "bin" / "gome", failing.replace("REAL", str(Path(sys.executable).parent / "gome")))
    assert box(NOMAD, 86400).returncode == 0
    table = (home / "submission" / "submission.csv").read_text().splitlines()
    assert table[1] == "1,0.1779,1.8892" and not list((home / "code").iterdir())


@pytest.mark.slow
def test_a_competition_that_gome_cannot_run_is_said_in_the_log(box: Box, tmp_path: Path) -> None:
    ended = box("aerial-cactus-identification", 600)
    assert ended.returncode == 0 and "its inputs are image files" in ended.stdout
    assert "only the sample submission" in ended.stdout


@pytest.mark.slow
def test_the_agent_wins_a_medal_in_a_made_up_competition(box: Box, tmp_path: Path) -> None:
    from gome.plugins.tasks.mlebench.competitions import competition
    from gome.plugins.tasks.mlebench.grading import report_on

    ended = box(NOMAD, 240, "--seed", "3")
    assert ended.returncode == 0, ended.stdout
    found, _ = report_on(competition(NOMAD), tmp_path / "home" / "submission" / "submission.csv", tmp_path)
    assert found.any_medal, ended.stdout

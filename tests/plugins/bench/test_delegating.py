"""A bench whose runs services drive: three of them and two workers finish it together, and it comes out as at home."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gome.kernel.service.requests import request_of as kernel_request
from gome.kernel.settings import Settings
from gome.plugins.bench.cells import Treatment, cells
from gome.plugins.bench.delegating import submitted
from gome.plugins.bench.launch import _settings_of, request_of
from gome.plugins.bench.suite import suite_of
from tests.kernel.service.processes import Services
from tests.kernel.service.test_service import starting, until, world

SUITE = """
tasks = ["instant"]
searches = ["toy-search"]
seeds = [{seeds}]
traces = 1
parallel = 6

[budget]
currency = "steps"
amount = 3
"""
TIMES = ("bench", "run", "seconds", "curve", "started", "finished", "commit")


def bench(found: Services, *flags: str) -> subprocess.Popen[str]:
    """Start `gome bench suite.toml`."""
    environment = found.environment(GOME_HOME=str(found.folder / "bench"))
    environment["GOME_LOAD_PLUGINS"] += ",bench"
    command = [sys.executable, "-m", "gome.kernel.cli", "bench", "suite.toml", "--json", *flags]
    return subprocess.Popen(
        command, cwd=found.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


async def rows(found: Services, *flags: str, cells: int = 40) -> list[dict[str, Any]]:
    """What the table of a bench says that is run to its end, up to time."""
    while True:
        process = bench(found, *flags)
        out, err = await asyncio.to_thread(process.communicate)
        if process.returncode != 2 or "is alive in" not in out + err:
            break  # else the hold of one that was killed has not run out yet
    assert process.returncode == 0, out[-1000:] + err[-3000:]
    lines = [json.loads(line) for line in out.splitlines()]
    told = [line for line in lines if "task_digest" in line]
    assert len(told) == cells and {line["outcome"] for line in told} == {"done"}, err[-3000:]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in told]


def test_a_service_begins_the_run_of_a_cell_just_as_the_bench_would(tmp_path: Path) -> None:
    suite = suite_of(
        'tasks = [{spec = "t.csv", target = "y", drop = ["x"]}]\nsearches = ["gradient"]\n'
        'budget = {currency = "steps", amount = 3, limits = {seconds = "9s"}}\ncapacity = 2\nsplit_seeds = [4]',
        "s.toml",
    )
    roles, tables = {"search": "gradient", "mutator": "llm"}, {"guard": {"seeds": 1}, "performers": {"runner": "queue"}}
    treatment = Treatment(
        search="gradient", profile="gome", roles=roles, settings=tables, traces=2, fallback="playbook"
    )
    (cell,) = cells(suite, [treatment])
    # What a service has in its own settings must not matter.
    service = Settings(tmp_path, profile="published", traces=7, capacity=9, plugins={"loop": {"memory": False}})
    request, settings = kernel_request(submitted(cell, "b-1", "main", 1.0), service)
    assert request == request_of(cell, "b-1", unsafe=False)
    assert settings == _settings_of(service, cell)


@pytest.mark.anyio
@pytest.mark.slow
async def test_three_services_and_two_workers_finish_a_bench_of_forty_runs_while_processes_are_killed(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as (_, found, _):
        (found.folder / "suite.toml").write_text(SUITE.format(seeds=", ".join(map(str, range(40)))))
        serving = [await starting(found, "--capacity", "2") for _ in range(3)]
        for _ in range(2):
            await asyncio.to_thread(found.work)
        queued = ("--service", "--set", "performers.runner=queue")
        first = bench(found, *queued, "--run", "forty")
        await until(lambda: len(found.executions()) >= 30)
        first.kill()
        first.communicate()
        serving[0].kill()
        serving[0] = await starting(found, "--capacity", "2")
        there = await rows(found, *queued, "--run", "forty")
        drivers = {int(pid) for pid, _, _ in found.executions()}
        assert not drivers & {one.process.pid for one in serving}  # workers execute, services drive
        here = await rows(found, "--set", "performers.runner=queue", "--run", "home")
        assert there == here

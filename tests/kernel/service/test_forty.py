"""Forty runs on three services and two workers, left alone and with services killed: the same results."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gome.kernel.service.client import ServiceClient
from tests.kernel.service.test_service import settled, starting, until, verified, world

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
RUNS = 40
TIMES = ("seconds", "run")


async def results(folder: Path, *, kills: int) -> list[dict[str, Any]]:
    """What forty runs come to, up to time; so many services are killed meanwhile, and replaced."""
    folder.mkdir()
    async with world(folder) as (server, found, connection):
        flags = ("--capacity", "2", "--set", "performers.runner=queue")
        serving = [await starting(found, *flags) for _ in range(3)]
        for _ in range(2):
            await asyncio.to_thread(found.work)
        client = ServiceClient(connection)
        runs = []
        for i in range(RUNS):
            # One step after the other: then nothing that a run comes to depends on what overtakes what.
            want = {"nonce": f"run number {i}", "budget": {"steps": 3 + i % 3}, "seed": i, "traces": 1}
            asked = await client.submit("instant", **want)
            runs.append(asked["run"])
        for kill in range(kills):
            enough = (kill + 1) * RUNS  # of about four executions each, a fourth and a half of all
            await until(lambda enough=enough: len(found.executions()) >= enough)  # type: ignore[misc]
            serving[kill].kill()
            serving[kill] = await starting(found, *flags)
        told = []
        for result in await settled(client, runs):
            summary = {name: value for name, value in result["summary"].items() if name not in TIMES}
            spent = {name: value for name, value in result["spent"].items() if name not in TIMES}
            told.append({"outcome": result["outcome"], "summary": summary, "spent": spent})
        await verified(found, server.url, "--all")
        return told


async def test_forty_runs_end_alike_whether_services_are_killed_meanwhile_or_not(tmp_path: Path) -> None:
    alone = await results(tmp_path / "alone", kills=0)
    killed = await results(tmp_path / "killed", kills=2)
    assert len(alone) == RUNS and alone == killed

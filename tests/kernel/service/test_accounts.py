"""A service behind credentials: its user, an account per tenant, and what the server itself keeps apart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gome.kernel.errors import Forbidden, UsageError
from gome.kernel.permissions import EVERY, users
from gome.kernel.service.client import ServiceClient
from tests.kernel.service.processes import services
from tests.kernel.service.test_service import FEW
from tests.kernel.shared_server import shared_server

pytestmark = pytest.mark.anyio


async def test_an_account_per_tenant_reaches_its_own_subjects_and_nothing_else(tmp_path: Path) -> None:
    flags = ("--tenant", EVERY, "--client", "acme", "--client", "other")
    async with shared_server(tmp_path / "server", *flags) as server:
        (tmp_path / "tenants.toml").write_text('nats = "subject"\n[tenants.acme]\n[tenants.other]\n')
        login = server.secrets("service")
        with services(tmp_path, server.url, token="") as found:
            queue = ("--set", "performers.runner=queue")
            await asyncio.to_thread(lambda: found.start("--tenants", "tenants.toml", *queue, **login))
            await asyncio.to_thread(lambda: found.work(**server.secrets("runner")))
            connection = server.connection("client-acme", timeout=2.0, patience=2.0)
            client = ServiceClient(connection, "acme")
            run = (await client.submit("instant", budget=FEW))["run"]
            assert [line["type"] async for line in client.tail(run)][-1] == "RunFinished"
            assert (await client.result(run))["outcome"] == "done"
            assert {pid for pid, _, _ in found.executions()} == {str(found.started[1].process.pid)}
            with pytest.raises(Forbidden, match=r"user client-acme to publish to gome\.service\.other\.list"):
                await ServiceClient(connection, "other").list()
            for subject in (
                "$JS.API.STREAM.MSG.GET.GOME",
                f"gome.ev.acme.{run}.control.client",
                "gome.sub.acme.x.ended",
            ):
                with pytest.raises(Forbidden):
                    await connection.request(subject, b"{}")
            await connection.close()


def test_the_service_is_a_user_of_its_own_and_only_on_demand() -> None:
    assert "service" not in {user.name for user in users([["runner"]])}
    found = {user.name: user for user in users([["runner"]], EVERY, ["acme"])}
    assert found["service"].home and found["service"].answers and not found["client-acme"].home
    assert not any("GOME" in subject for subject in found["client-acme"].publishes if "JS.API" not in subject)
    with pytest.raises(UsageError, match=r"tenant 'a\.b' cannot be used"):
        users([], EVERY, ["a.b"])

"""Several tenants on real services: their own runs only, in fair turns, within their quotas; memory that stays flat."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from gome.events import Budget
from gome.kernel.errors import UsageError
from gome.kernel.jetstream import Connection
from gome.kernel.service.client import ServiceClient
from gome.kernel.service.problems import Refused
from gome.kernel.service.submission import Ended, Entry, Submission, Submitted, run_of
from gome.kernel.service.submissions import PREFIX, Submissions
from gome.kernel.service.tenants import Tenant, digest, load_tenants, new_token
from tests.kernel.nats_server import TOKEN
from tests.kernel.service.test_service import FEW, events, settled, starting, until, world

pytestmark = pytest.mark.anyio
MANY = 1000


def tenants_file(folder: Path, **tables: str) -> dict[str, str]:
    """Write a file of tenants, each with a table's further lines; returns their tokens."""
    tokens = {name: new_token() for name in tables}
    texts = [f'[tenants.{name}]\ntokens = ["{digest(tokens[name])}"]\n{more}\n' for name, more in tables.items()]
    (folder / "tenants.toml").write_text("".join(texts))
    return tokens


async def flood(connection: Connection, tenant: str, count: int) -> list[str]:
    """So many submissions of a tenant, put into the stream side by side as services would one by one."""
    await Submissions(connection, lambda: 1.0).prepare()
    asked = [Submission("instant", f"nonce of {i:05d}", budget=Budget(steps=1)) for i in range(count)]
    found = [Submitted(run_of(tenant, one.nonce), tenant, 1.0, one) for one in asked]
    limit = anyio.Semaphore(64)

    async def put(one: Submitted) -> None:
        async with limit:
            await connection.request(f"{PREFIX}.{tenant}.{one.run}.submitted", msgspec.json.encode(one))

    await asyncio.gather(*map(put, found))
    return [one.run for one in found]


async def ended(submissions: Submissions, tenant: str, queued: int) -> int:
    """How many submissions of a tenant have ended."""
    return queued - len((await submissions.account(tenant)).open)


async def position_of_end(connection: Connection, tenant: str, run: str) -> int:
    """Where in the stream the end of a run is recorded, 0 where it is not."""
    submissions = Submissions(connection, lambda: 1.0)
    position, record = await submissions._last(f"{PREFIX}.{tenant}.{run}.ended")
    return position if isinstance(record, Ended) else 0


async def test_a_thousand_runs_of_one_tenant_do_not_keep_another_waiting(tmp_path: Path) -> None:
    tokens = tenants_file(tmp_path, many="", late="")
    async with world(tmp_path) as (_, found, connection):
        await flood(connection, "many", MANY)
        serving = await starting(found, "--tenants", "tenants.toml", "--capacity", "2")
        submissions = Submissions(connection, lambda: 1.0)
        with anyio.fail_after(60):
            while await ended(submissions, "many", MANY) < 5:
                await anyio.sleep(0.05)
        memory = serving.memory()
        client = ServiceClient(connection, "late", tokens["late"])
        submitted = await client.submit("instant", budget=FEW)
        assert (await settled(client, [submitted["run"]]))[0]["outcome"] == "done"
        own = await position_of_end(connection, "late", submitted["run"])
        between = [
            entry
            for entry in await first(submissions, "many", 60)
            if submitted["position"] < await position_of_end(connection, "many", entry.submitted.run) < own
        ]
        # Two may have been open when it came, and one more has its turn beside it; nobody else goes first.
        assert len(between) <= 8, len(between)
        assert await ended(submissions, "many", MANY) < MANY / 2
        assert serving.memory() < memory + 20 * 2**20


async def first(submissions: Submissions, tenant: str, count: int) -> list[Entry]:
    return await submissions.page(tenant, 0, count)


@pytest.mark.slow
async def test_memory_stays_flat_over_a_thousand_runs(tmp_path: Path) -> None:
    tenants_file(tmp_path, many="")
    async with world(tmp_path) as (_, found, connection):
        await flood(connection, "many", MANY)
        serving = await starting(found, "--tenants", "tenants.toml", "--capacity", "4")
        submissions = Submissions(connection, lambda: 1.0)
        sizes: dict[int, int] = {}
        for mark in (100, 400, 700, MANY):
            with anyio.fail_after(600):
                while await ended(submissions, "many", MANY) < mark:
                    await anyio.sleep(0.2)
            sizes[mark] = serving.memory()
        print({mark: f"{size / 2**20:.0f} MiB" for mark, size in sizes.items()})
        assert sizes[MANY] < sizes[100] + 16 * 2**20, sizes
        assert await asyncio.to_thread(serving.terminate) == 0


async def test_a_tenant_sees_and_stops_its_own_runs_only(tmp_path: Path) -> None:
    tokens = tenants_file(tmp_path, acme="", other="")
    async with world(tmp_path) as (_, found, connection):
        await starting(found, "--tenants", "tenants.toml")
        acme = ServiceClient(connection, "acme", tokens["acme"])
        other = ServiceClient(connection, "other", tokens["other"])
        run = (await acme.submit("instant", nonce="the same nonce", budget=FEW))["run"]
        theirs = (await other.submit("instant", nonce="the same nonce", budget=FEW))["run"]
        assert run != theirs
        await settled(acme, [run])
        for ask in (other.status(run), other.result(run), other.stop(run), other.file(run, "submission.csv")):
            with pytest.raises(Refused) as refused:
                await ask
            assert refused.value.status == 404
        with pytest.raises(Refused, match="no run"):
            async for _ in other.tail(run):
                pass
        assert [one["run"] for one in await other.list()] == [theirs]
        for token, status in (("", 401), ("gome-guessed", 401), (tokens["other"], 403)):
            with pytest.raises(Refused) as refused:
                await ServiceClient(connection, "acme", token).status(run)
            assert refused.value.status == status
        # The record of each lies under its own tenant's subjects.
        assert {event.type for event in await events(connection, run, "acme")} >= {"RunStarted", "RunFinished"}
        assert tokens["acme"] not in found.started[0].log.read_text()


async def test_quotas_bound_what_is_open_what_waits_and_what_it_costs_over_all_services(tmp_path: Path) -> None:
    more = "open = 2\nqueued = 4\nbudget = { executions = 10 }"
    tokens = tenants_file(tmp_path, acme=more)
    async with world(tmp_path) as (_, found, connection):
        await starting(found, "--tenants", "tenants.toml", "--capacity", "4")
        await starting(found, "--tenants", "tenants.toml", "--capacity", "4")
        client = ServiceClient(connection, "acme", tokens["acme"])
        with pytest.raises(Refused, match="say how much of it"):
            await client.submit("held", budget={"steps": 1})
        want: dict[str, Any] = {"steps": 1, "executions": 2}
        runs = [(await client.submit("held", budget=want))["run"] for _ in range(4)]
        with pytest.raises(Refused, match="4 runs of acme wait or are open") as refused:
            await client.submit("held", budget=want)
        assert refused.value.status == 429
        await until(lambda: len(found.executions()) >= 2)
        await anyio.sleep(0.5)  # both services have had occasion to begin a third
        states = [one["state"] for one in await client.list()]
        assert sorted(states) == ["open", "open", "queued", "queued"] and len(found.executions()) == 2
        found.gate.touch()
        assert {one["outcome"] for one in await settled(client, runs)} == {"done"}
        # Four executions were used, and nothing is held any more: six are left.
        with pytest.raises(Refused, match="7 executions are asked for and 6 of 10 are left"):
            await client.submit("instant", budget={"steps": 1, "executions": 7})
        assert (await client.submit("instant", budget={"steps": 1, "executions": 6}))["new"]


async def test_a_worker_performs_for_the_runs_of_all_tenants(tmp_path: Path) -> None:
    tokens = tenants_file(tmp_path, acme="", other="")
    async with world(tmp_path) as (_, found, connection):
        flags = ("--tenants", "tenants.toml", "--set", "performers.runner=queue")
        await starting(found, *flags)
        worker = await asyncio.to_thread(found.work)
        runs = []
        for name, token in tokens.items():
            client = ServiceClient(connection, name, token)
            runs.append((await client.submit("instant", budget=FEW))["run"])
            assert (await settled(client, runs[-1:]))[0]["outcome"] == "done"
        began = found.executions()
        assert {run for _, run, _ in began} == set(runs) and len(began) == 6
        assert {int(pid) for pid, _, _ in began} == {worker.process.pid}


async def test_many_submissions_at_once_never_exceed_a_quota(tmp_path: Path) -> None:
    async with world(tmp_path) as (server, _, connection):
        second = Connection(server.url, token=TOKEN)
        services = [Submissions(connection, lambda: 1.0), Submissions(second, lambda: 1.0)]
        tenant = Tenant(name="acme", queued=10)

        async def submit(i: int) -> bool:
            try:
                await services[i % 2].submit(tenant, Submission("instant", f"nonce of {i:05d}"))
            except Refused:
                return False
            return True

        assert sum(await asyncio.gather(*map(submit, range(40)))) == 10
        twice = await asyncio.gather(
            *(
                one.submit(msgspec.structs.replace(tenant, name="b"), Submission("instant", "one nonce"))
                for one in services
            )
        )
        assert sorted(fresh for _, fresh in twice) == [False, True]
        await second.close()


async def test_a_tenant_gives_only_the_settings_that_it_may(tmp_path: Path) -> None:
    tokens = tenants_file(tmp_path, acme='tables = ["loop"]\ntasks = ["./tables"]')
    async with world(tmp_path) as (_, found, connection):
        await starting(found, "--tenants", "tenants.toml")
        client = ServiceClient(connection, "acme", tokens["acme"])
        for asked in ({"settings": {"completion": {"model": "m"}}}, {"model": "m"}):
            with pytest.raises(Refused, match=r"may not .*; it may give loop") as refused:
                await client.submit("instant", budget=FEW, **asked)
            assert refused.value.status == 403
        with pytest.raises(Refused, match="there is no task '/etc/passwd' for tenant acme"):
            await client.submit("/etc/passwd", budget=FEW)
        run = (await client.submit("instant", budget=FEW, settings={"loop": {"memory": False}}))["run"]
        await settled(client, [run])
        started = (await events(connection, run, "acme"))[0].payload
        assert started.settings["loop"]["memory"] is False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there is no tenant in it"),
        ("[tenants.acme]\ntokens = ['hunter2']", "`gome serve --new-token` prints a token and its digest"),
        ("[tenants.'a.b']", "tenant 'a.b' cannot be used"),
        ("[tenants.acme]\nopne = 3", "opne"),
        ("[tenants.acme]\nopen = 0", r"tenants\.acme: Expected `int` >= 1"),
        ("[tenants.acme]\nbudget = {mony = 5}", r"tenants\.acme\.budget\.mony: there is no such limit"),
        ("[tenants.acme]\nbudget = {money = -5}", r"tenants\.acme\.budget\.money: a number above 0 is wanted, not -5"),
        ("tenants = 3", "tenants"),
        ("[tenants.acme", r"tenants\.toml:1"),
    ],
)
def test_a_file_of_tenants_that_means_nothing_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=says) as caught:
        load_tenants(path)
    assert "tenants.toml" in str(caught.value) or "a.b" in str(caught.value)


def test_two_tenants_never_share_a_token_nor_a_run(tmp_path: Path) -> None:
    same = digest("a token")
    (tmp_path / "t.toml").write_text(f'[tenants.a]\ntokens = ["{same}"]\n[tenants.b]\ntokens = ["{same}"]\n')
    with pytest.raises(UsageError, match="have the same token"):
        load_tenants(tmp_path / "t.toml")
    assert run_of("a-b", "c" * 8) != run_of("a", "b-" + "c" * 8)
    (tmp_path / "t.toml").chmod(0o666)
    with pytest.raises(UsageError, match="others may write"):
        load_tenants(tmp_path / "t.toml")

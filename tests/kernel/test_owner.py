"""At most one process drives a run: the file lock and the lease, with real processes and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from gome.kernel.answers import Message
from gome.kernel.connect import connect
from gome.kernel.errors import LogUnreachable, UsageError
from gome.kernel.jetstream import Connection, parse
from gome.kernel.lease import KvLease
from gome.kernel.owner import Owner, owner_lock, owner_of
from gome.kernel.server import embedded_server
from gome.kernel.settings import Settings
from gome.kernel.start import Launcher

HOLDER = """
import sys
from pathlib import Path
from gome.kernel.errors import UsageError
from gome.kernel.owner import owner_lock
try:
    with owner_lock(Path(sys.argv[1]), sys.argv[2]):
        print("held", flush=True)
        sys.stdin.read()
except UsageError as error:
    print(error, flush=True)
"""


@contextlib.contextmanager
def process(home: Path, run: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that tries to hold a run; yields it and what it said."""
    command = [sys.executable, "-c", HOLDER, str(home), run]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        yield holder, holder.stdout.readline().strip()


def test_a_second_process_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    with owner_lock(tmp_path, "r1"), process(tmp_path, "r1") as (_, said):
        assert said == f"run r1 is alive in process {os.getpid()}; watch it with `gome tail r1`"
        with process(tmp_path, "r2") as (_, said):
            assert said == "held"


def test_a_killed_owner_leaves_nothing_behind(tmp_path: Path) -> None:
    with process(tmp_path, "r1") as (holder, said):
        assert said == "held"
        assert owner_of(tmp_path, "r1") == Owner(holder.pid, os.uname().nodename)
        with pytest.raises(UsageError, match=f"process {holder.pid};"), owner_lock(tmp_path, "r1"):
            pass
        holder.kill()
        holder.wait()
    assert owner_of(tmp_path, "r1") is None
    with owner_lock(tmp_path, "r1"):
        assert owner_of(tmp_path, "r1") == Owner.me()


def test_the_lock_is_released_by_leaving_whatever_happened(tmp_path: Path) -> None:
    for _ in range(3):
        with pytest.raises(KeyError), owner_lock(tmp_path, "r1"):
            raise KeyError
    assert owner_of(tmp_path, "r1") is None
    assert list((tmp_path / "owners").iterdir()) == []


def test_of_many_processes_one_holds_a_run_at_a_time(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        said = [stack.enter_context(process(tmp_path, "r1"))[1] for _ in range(4)]
    assert said.count("held") == 1
    assert len([text for text in said if "is alive in process" in text]) == 3


@pytest.mark.parametrize("run", ["", "../r", "a/b", ".hidden", "a b"])
def test_what_cannot_be_a_run_is_refused(tmp_path: Path, run: str) -> None:
    with pytest.raises(UsageError, match="run id"), owner_lock(tmp_path, run):
        pass


def test_an_owner_elsewhere_is_named_with_its_machine() -> None:
    assert str(Owner(7, "elsewhere")) == "process 7 on elsewhere"


@contextlib.asynccontextmanager
async def server(home: Path, kind: type[Connection] = Connection) -> AsyncIterator[Connection]:
    async with embedded_server(home) as address:
        connection = kind(address.url, token=address.token)
        try:
            yield connection
        finally:
            await connection.close()


@pytest.mark.anyio
async def test_a_lease_is_held_once_renewed_and_given_back(tmp_path: Path) -> None:
    async with server(tmp_path) as nats:
        async with KvLease(nats, "r1", lease=1.0) as first:
            with pytest.raises(UsageError, match=f"run r1 is alive in process {os.getpid()}"):
                async with KvLease(nats, "r1", lease=1.0):
                    pass
            revision = first._revision
            async with asyncio.timeout(10):
                while first._revision < revision + 5:  # five renewals take longer than one lease
                    await asyncio.sleep(0.02)
            with pytest.raises(UsageError):
                async with KvLease(nats, "r1", lease=1.0):
                    pass
            assert not first.lost.is_set()
        async with KvLease(nats, "r1", lease=1.0) as second:
            assert second.epoch > first.epoch


@pytest.mark.anyio
async def test_a_lease_that_is_not_renewed_goes_to_another_and_its_holder_is_told(tmp_path: Path) -> None:
    async with server(tmp_path) as nats, KvLease(nats, "r1", lease=1.0) as first:
        assert first._renewing is not None
        first._renewing.cancel()
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(UsageError):
                    async with KvLease(nats, "r1", lease=1.0) as second:
                        assert second.epoch > first.epoch
                        first._renewing = asyncio.create_task(first._renew())
                        await first.lost.wait()
                        assert "another machine" in first.why
                        assert not second.lost.is_set()
                    break
                await asyncio.sleep(0.05)


@pytest.mark.anyio
async def test_a_renewal_that_landed_without_its_acknowledgement_is_not_a_loss(tmp_path: Path) -> None:
    async with server(tmp_path) as nats, KvLease(nats, "r1", lease=1.0) as lease:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(lease._revision)}
        landed = parse(await nats.request("$KV.GOME_OWNERS.r1", lease._value, headers))["seq"]
        async with asyncio.timeout(10):
            while lease._revision <= landed:
                await asyncio.sleep(0.02)
        assert not lease.lost.is_set()


WRONG_LAST = b'{"error": {"code": 400, "err_code": 10071, "description": "wrong last sequence: 0"}}'
NOT_FOUND = b'{"error": {"code": 404, "err_code": 10037, "description": "no message found"}}'


class Behind(Connection):
    """A connection to a server that leads the bucket's stream without having caught up, as long as `behind` is left: it
    knows of no record, and so no expectation about the last one holds. Nobody leads as long as `leaderless` is left."""

    behind = 0
    leaderless = 0

    async def request(
        self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float = 0.0
    ) -> Message:
        if self.leaderless and headers and subject.startswith("$KV."):
            self.leaderless -= 1
            return Message("", b"", {"Status": "503"})
        if self.behind and headers and subject.startswith("$KV."):
            return Message("", WRONG_LAST, None)
        if self.behind and ".STREAM.MSG.GET." in subject:
            self.behind -= 1
            return Message("", NOT_FOUND, None)
        return await super().request(subject, payload, headers, timeout)


@pytest.mark.anyio
async def test_a_server_that_has_not_caught_up_takes_no_lease_away_and_gives_none(tmp_path: Path) -> None:
    async with server(tmp_path, Behind) as nats:
        assert isinstance(nats, Behind)
        async with KvLease(nats, "r1", lease=2.0) as lease:
            revision, nats.behind = lease._revision, 2
            async with asyncio.timeout(10):
                while lease._revision <= revision:
                    await asyncio.sleep(0.02)
            assert not nats.behind and not lease.lost.is_set()
        nats.behind = 2
        with pytest.raises(LogUnreachable, match="gives no lease on run r2"):
            async with KvLease(nats, "r2"):
                pass


@pytest.mark.anyio
async def test_a_renewal_that_was_refused_is_tried_again_before_its_next_turn(tmp_path: Path) -> None:
    async with server(tmp_path, Behind) as nats, KvLease(nats, "r1", lease=3.0) as lease:
        assert isinstance(nats, Behind)
        # A lease has four turns: whoever awaits them has lost it by then.
        revision, nats.leaderless = lease._revision, 5
        async with asyncio.timeout(10):
            while lease._revision <= revision and not lease.lost.is_set():
                await asyncio.sleep(0.02)
        assert not nats.leaderless and not lease.lost.is_set()


@pytest.mark.anyio
async def test_a_driver_keeps_its_lease_as_long_as_its_log_waits_whatever_workers_have(tmp_path: Path) -> None:
    async with embedded_server(tmp_path) as address:
        settings = Settings(tmp_path / "home", nats_url=address.url, nats_token=address.token, lease=5)
        async with connect(settings) as connection, Launcher(connection, settings) as launcher:
            lease = await launcher.own("r1")
            assert lease is not None and connection.nats is not None
            assert lease.lease >= connection.nats.patience > settings.lease


@pytest.mark.anyio
async def test_a_lease_that_no_server_renews_is_lost_and_the_reason_names_no_other_machine(tmp_path: Path) -> None:
    async with server(tmp_path, Behind) as nats, KvLease(nats, "r1", lease=1.0) as lease:
        assert isinstance(nats, Behind)
        nats.behind = 1_000
        async with asyncio.timeout(10):
            await lease.lost.wait()
        assert "did not renew it for 1 s" in lease.why and "machine" not in lease.why
        nats.behind = 0

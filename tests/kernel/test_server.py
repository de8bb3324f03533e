"""The embedded nats-server, with real processes: shared, restarted after every kind of kill -9, stopped by the last."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest

from gome.kernel.errors import LogUnreachable, UsageError
from gome.kernel.server import ServerAddress, embedded_server, read_address, server_binary
from gome.kernel.supervisor import finding

pytestmark = pytest.mark.anyio

USER = """
import asyncio, sys
from pathlib import Path
from gome.kernel.errors import GomeError
from gome.kernel.server import embedded_server

async def main():
    try:
        async with embedded_server(Path(sys.argv[1])) as address:
            print(address.url, flush=True)
            await asyncio.to_thread(sys.stdin.read)
    except GomeError as error:
        print(type(error).__name__, error, flush=True)

asyncio.run(main())
"""


@asynccontextmanager
async def user(home: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Another process that uses the server until its input is closed; yields it and what it printed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", USER, str(home), stdin=pipe, stdout=pipe)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not true():
            await asyncio.sleep(0.01)


def facts(home: Path) -> dict[str, Any]:
    address = finding.read_address(str(home))
    assert address is not None
    return address


def another(home: Path, dead: dict[str, Any]) -> bool:
    return bool(facts(home)["server"] != dead)


def alive(process: dict[str, Any]) -> bool:
    return finding.birth(int(process["pid"])) == str(process["birth"])


async def all_gone(home: Path, address: dict[str, Any]) -> None:
    await until(lambda: not alive(address["server"]) and not alive(address["supervisor"]))
    assert not (home / "nats.address").exists()
    assert not (home / "nats.conf").exists()


async def connected(address: ServerAddress) -> Any:
    return await nats.connect(address.url, token=address.token, connect_timeout=2, reconnect_time_wait=0.05)


async def test_a_server_greets_takes_the_token_stores_durably_and_stops_with_its_only_user(tmp_path: Path) -> None:
    home = tmp_path / 'a home with spaces, "quotes", $HOME and ä'
    async with embedded_server(home) as address:
        now = facts(home)
        assert address.url.startswith("nats://127.0.0.1:")
        for name in ("nats.address", "nats.conf"):
            assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
        assert "sync_interval: always" in (home / "nats.conf").read_text()
        client = await connected(address)
        js = client.jetstream()
        await js.add_stream(name="S", subjects=["s"])
        await js.publish("s", b"kept")
        assert client.max_payload == 1 << 20
        await client.close()
    await all_gone(home, now)
    async with embedded_server(home) as address:
        again = facts(home)
        client = await connected(address)
        assert (await client.jetstream().get_msg("S", 1)).data == b"kept"
        await client.close()
    await all_gone(home, again)


async def test_the_token_is_wanted_and_shows_nowhere_but_in_private_files(tmp_path: Path) -> None:
    async with embedded_server(tmp_path) as address:
        now = facts(tmp_path)
        for wrong in ("", "wrong"):
            with pytest.raises((nats.errors.Error, ConnectionError)):
                await nats.connect(address.url, token=wrong, allow_reconnect=False, max_reconnect_attempts=0)
        assert address.token not in repr(address)
        for name in ("server", "supervisor"):
            shown = Path(f"/proc/{now[name]['pid']}/cmdline").read_bytes()
            shown += Path(f"/proc/{now[name]['pid']}/environ").read_bytes()
            assert address.token.encode() not in shown
        assert address.token not in (tmp_path / "nats.log").read_text()
    await all_gone(tmp_path, now)


async def test_processes_share_one_server_which_survives_a_killed_user_and_stops_with_the_last(tmp_path: Path) -> None:
    async with user(tmp_path) as (first, url), user(tmp_path) as (_, url2):
        now = facts(tmp_path)
        assert url == url2 == now["url"]
        first.kill()
        await first.wait()
        async with embedded_server(tmp_path) as address:
            await (await connected(address)).close()
        assert facts(tmp_path) == now and alive(now["server"])
    await all_gone(tmp_path, now)


async def test_a_server_stops_when_its_only_user_is_killed(tmp_path: Path) -> None:
    async with user(tmp_path) as (process, _):
        now = facts(tmp_path)
        process.kill()
        await process.wait()
        await all_gone(tmp_path, now)


async def test_processes_that_start_at_the_same_time_get_one_server(tmp_path: Path) -> None:
    pipe = asyncio.subprocess.PIPE
    starting = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", USER, str(tmp_path), stdin=pipe, stdout=pipe)
        for _ in range(5)
    ]
    urls = [(await process.stdout.readline()).decode() for process in starting if process.stdout]
    assert len(set(urls)) == 1 and urls[0].startswith("nats://")
    now = facts(tmp_path)
    assert (tmp_path / "nats.log").read_text().count("Server is ready") == 1
    for process in starting:
        process.kill()
        await process.wait()
    await all_gone(tmp_path, now)


async def test_joining_and_leaving_in_quick_succession_always_finds_a_server(tmp_path: Path) -> None:
    async def come_and_go() -> None:
        for _ in range(6):
            async with embedded_server(tmp_path) as address:
                client = await connected(address)
                await client.flush()
                await client.close()

    now = None
    await asyncio.gather(*(come_and_go() for _ in range(3)))
    async with embedded_server(tmp_path):
        now = facts(tmp_path)
    await all_gone(tmp_path, now)


async def test_a_killed_server_is_started_again_on_its_port_and_store(tmp_path: Path) -> None:
    async with embedded_server(tmp_path) as address:
        before = facts(tmp_path)
        client = await connected(address)
        js = client.jetstream()
        await js.add_stream(name="S", subjects=["s"])
        await js.publish("s", b"before")
        for _ in range(2):
            dead = facts(tmp_path)["server"]
            os.kill(dead["pid"], signal.SIGKILL)
            await until(partial(another, tmp_path, dead))
        await until(lambda: client.is_connected)
        assert (await js.get_msg("S", 1)).data == b"before"
        after = facts(tmp_path)
        assert (after["url"], after["token"]) == (address.url, address.token)
        assert after["supervisor"] == before["supervisor"]
        await client.close()
    await all_gone(tmp_path, after)


async def test_a_killed_supervisor_takes_its_server_along_and_a_user_starts_both_again(tmp_path: Path) -> None:
    async with user(tmp_path), embedded_server(tmp_path) as address:
        before = facts(tmp_path)
        client = await connected(address)
        os.kill(before["supervisor"]["pid"], signal.SIGKILL)
        await until(lambda: not alive(before["server"]))
        await until(lambda: facts(tmp_path)["supervisor"] != before["supervisor"])
        after = facts(tmp_path)
        assert (after["url"], after["token"]) == (address.url, address.token)
        await until(lambda: client.is_connected)
        await client.flush()
        await client.close()
    await all_gone(tmp_path, after)


async def test_a_stale_address_file_is_not_believed_and_its_port_is_left_to_its_new_owner(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        nobody = {"pid": os.getpid(), "birth": "another boot/1"}
        stale = {"url": f"nats://127.0.0.1:{port}", "token": "old", "port": port, "name": "gome-old"}
        stale |= {"host": os.uname().nodename, "server": nobody, "supervisor": nobody}
        (tmp_path / "nats.address").write_text(json.dumps(stale))
        assert read_address(tmp_path) is None
        async with embedded_server(tmp_path) as address:
            now = facts(tmp_path)
            assert now["port"] != port
            await (await connected(address)).close()
    await all_gone(tmp_path, now)


@pytest.mark.parametrize("torn", ["", "{", '{"url": "nats://x"}', "[]"])
async def test_a_torn_address_file_is_replaced(tmp_path: Path, torn: str) -> None:
    (tmp_path / "nats.address").write_text(torn)
    async with embedded_server(tmp_path):
        now = facts(tmp_path)
    await all_gone(tmp_path, now)


async def test_a_home_in_use_on_another_machine_is_refused_by_name(tmp_path: Path) -> None:
    async with embedded_server(tmp_path):
        now = facts(tmp_path)
        (tmp_path / "nats.address").write_text(json.dumps(now | {"host": "elsewhere"}))
        async with user(tmp_path) as (_, said):
            assert said.startswith("UsageError") and "elsewhere" in said
    await all_gone(tmp_path, now)


async def test_a_home_that_cannot_be_written_is_a_usage_error_that_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file/home: Not a directory; choose another folder with GOME_HOME"):
        async with embedded_server(tmp_path / "file" / "home"):
            pass


async def test_a_server_that_does_not_start_is_an_error_with_what_it_complained_about(tmp_path: Path) -> None:
    (tmp_path / "nats").write_text("a file where the store should be")
    with pytest.raises(LogUnreachable, match="does not start: ") as caught:
        async with embedded_server(tmp_path):
            pass
    message = str(caught.value)
    assert "\n" not in message and "torage" in message
    assert not (tmp_path / "nats.conf").exists()


async def test_a_server_that_does_not_come_back_is_explained_to_the_next_user(tmp_path: Path) -> None:
    async with embedded_server(tmp_path):
        now = facts(tmp_path)
        (tmp_path / "nats").rename(tmp_path / "moved")
        (tmp_path / "nats").write_text("a file where the store was")
        os.kill(now["server"]["pid"], signal.SIGKILL)
        async with user(tmp_path) as (_, said):
            assert said.startswith("LogUnreachable") and "does not start again: " in said
        (tmp_path / "nats").unlink()
        (tmp_path / "moved").rename(tmp_path / "nats")
        async with user(tmp_path) as (_, url):
            assert url == now["url"]
        now = facts(tmp_path)
    await all_gone(tmp_path, now)


async def test_a_start_that_is_called_off_leaves_neither_a_child_nor_a_pipe(tmp_path: Path) -> None:
    def ours() -> tuple[set[str], set[str]]:
        children = {c for task in Path("/proc/self/task").iterdir() for c in (task / "children").read_text().split()}
        return set(os.listdir("/proc/self/fd")), children

    async with user(tmp_path):
        now = facts(tmp_path)
        before = ours()
        (tmp_path / "nats.address").unlink()  # so that a supervisor is started to see whether there is one
        starting = asyncio.create_task(embedded_server(tmp_path).__aenter__())
        await until(lambda: ours()[1] > before[1])
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert ours() == before
    await until(lambda: not alive(now["server"]))


async def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here to mount a full disk in")
    full = 'mount -t tmpfs -o size=4k,nr_inodes=64 full "$1" && head -c 4096 /dev/zero > "$1/filler"'
    script = f'{full}; exec {sys.executable} -c "$2" "$1"'
    process = await asyncio.create_subprocess_exec(
        unshare, "-rm", "sh", "-c", script, "sh", str(tmp_path), USER, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    lines = output.decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("LogUnreachable") and "No space left on device" in lines[0]


async def test_no_descriptor_of_the_server_is_inherited_by_programs(tmp_path: Path) -> None:
    async with embedded_server(tmp_path):
        now = facts(tmp_path)
        # This child outlives the block: if it held the users' lock, the server would not stop.
        reading = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        child = subprocess.Popen(reading, stdin=subprocess.PIPE, close_fds=False)
    try:
        await all_gone(tmp_path, now)
    finally:
        child.communicate()


def test_the_binary_is_the_one_of_the_installed_package() -> None:
    output = subprocess.run([server_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    assert output.startswith("nats-server: v2.")


def test_a_process_id_of_another_life_is_not_alive() -> None:
    assert finding.birth(os.getpid()) != ""
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert finding.birth(child.pid) == "", "a zombie counts as gone"
    child.wait()

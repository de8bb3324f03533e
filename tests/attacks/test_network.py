"""Programs that talk to somebody: every kind of socket, name servers, the container daemon, the server of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.conftest import Fort
from tests.kernel.shared_server import SharedServer

ATTACKS = {
    "open_tcp": {"EAFNOSUPPORT"},
    "open_udp": {"EAFNOSUPPORT"},
    "open_raw": {"EAFNOSUPPORT"},
    "open_netlink": {"EAFNOSUPPORT"},
    "open_vsock": {"EAFNOSUPPORT", "ENOENT"},
    "open_unix": {"ENOENT", "ECONNREFUSED", "EACCES", "nothing"},
    "docker_socket": {"ENOENT"},
    "ask_dns": {"EAI_AGAIN", "gaierror", "herror", "nothing", "ENOENT", "KeyError"},
}


@pytest.mark.parametrize("name", ATTACKS)
def test_nobody_can_be_talked_to(fort: Fort, name: str) -> None:
    found = fort.attack(name)
    assert found.lost, "it has tried nothing"
    if name != "ask_dns":  # what a resolver says of a refused socket differs from one C library to another
        assert set(found.lost.values()) <= ATTACKS[name]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServer]:
    """A real server of the log, as `gome server config` sets it up."""
    found = SharedServer(tmp_path_factory.mktemp("nats"))
    asyncio.run(found.start())
    try:
        yield found
    finally:
        found.kill()


def test_the_server_of_the_log_cannot_be_reached_even_with_its_password(fort: Fort, server: SharedServer) -> None:
    user = next(Path(server.folder).glob("*.secrets")).stem
    secrets = server.secrets(user)
    known: dict[str, Any] = {
        "nats_port": server.port,
        "nats_user": secrets["GOME_NATS_USER"],
        "nats_password": secrets["GOME_NATS_PASSWORD"],
        "nats_store": str(server.folder / "store"),
    }
    found = fort.attack("reach_nats", known=known)
    assert found.lost == {"connect": "EAFNOSUPPORT", "its store": "ENOENT", "its secrets": "ENOENT"}

"""Machines on one machine: network namespaces, each behind a cable of its own (a veth pair), made by root.

`namespaces(n)` makes n of them; a process is put into one by `nsenter`, which changes nothing but its network. (`ip
netns exec` would hide the control groups as well.)
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Namespace:
    """One of them: the name under which `ip netns` knows it, its own address and that of this end of its cable."""

    name: str
    address: str
    gateway: str

    @property
    def entering(self) -> list[str]:
        """What to put before a command."""
        return ["nsenter", f"--net=/run/netns/{self.name}"]


def why_not() -> str:
    """Why no network namespaces can be made here, "" when they can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces with names"
    if missing := [tool for tool in ("ip", "nsenter") if not shutil.which(tool)]:
        return f"{' and '.join(missing)} not installed"
    try:
        with namespaces(1):
            return ""
    except subprocess.CalledProcessError as error:
        return f"no network namespace can be made: {str(error.stderr).strip()}"


@contextmanager
def namespaces(count: int) -> Iterator[list[Namespace]]:
    """Make some for the length of the block. Whoever runs in one must be gone at its end."""
    made: dict[str, Namespace] = {}
    try:
        for i in range(count):
            # 198.18.0.0/15 is set aside for tests between networks; each cable has four addresses of it.
            at = f"198.18.{os.getpid() % 256}"
            cable = f"gome{os.getpid() % 100_000}{chr(97 + i)}"
            made[cable] = Namespace(f"gome{os.getpid()}-{i}", f"{at}.{4 * i + 2}", f"{at}.{4 * i + 1}")
            _connect(made[cable], cable)
        yield list(made.values())
    finally:
        for cable, namespace in made.items():
            # The cable first: with its namespace it would go some time later, and its name with it.
            for command in (["link", "del", cable], ["netns", "del", namespace.name]):
                subprocess.run(["ip", *command], capture_output=True, check=False)


def _connect(namespace: Namespace, cable: str) -> None:
    _ip("netns", "add", namespace.name)
    _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace.name)
    _ip("address", "add", f"{namespace.gateway}/30", "dev", cable)
    _ip("link", "set", cable, "up")
    inside = ("-n", namespace.name)
    _ip(*inside, "address", "add", f"{namespace.address}/30", "dev", "eth0")
    _ip(*inside, "link", "set", "eth0", "up")
    _ip(*inside, "link", "set", "lo", "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

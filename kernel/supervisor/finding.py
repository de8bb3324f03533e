"""Where the embedded server is and whether it is the one meant: the address file, process ids, greetings, its log.

The supervisor writes, its users read. It is imported by a supervisor that has no site-packages, under its bare name,
and by `gome.kernel.server`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

START_LIMIT = 60.0
"""Seconds a server may take to be ready; a large store is recovered before it listens."""
HOST = "127.0.0.1"
"""Where servers listen."""


def birth(pid: int) -> str:
    """Return a text that no other process ever had with this id (boot and start time); "" when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat, open("/proc/sys/kernel/random/boot_id", "rb") as boot:
            fields = stat.read().rpartition(b")")[2].split()
            return "" if fields[0] in (b"Z", b"X") else f"{boot.read().strip().decode()}/{fields[19].decode()}"
    except OSError:
        pass
    if os.path.exists("/proc/self/stat"):
        return ""
    try:
        os.kill(pid, 0)
    except OSError:
        return ""
    return "alive"


def read_address(home: str) -> dict[str, Any] | None:
    """Return what HOME/nats.address says, None when there is none or it is not whole."""
    try:
        with open(os.path.join(home, "nats.address"), encoding="utf-8") as file:
            address = json.load(file)
        return address if isinstance(address, dict) and isinstance(address.get("supervisor"), dict) else None
    except (OSError, ValueError):
        return None


def write_private(path: str, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = f"{path}.{os.getpid()}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        remove(temporary)
        raise


def remove(path: str) -> None:
    """Remove a file that may be gone already."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def answers(port: int, name: str, limit: float = 1.0) -> bool:
    """Say whether the nats-server called `name` greets a connection to the port. Nothing is sent, least of all the
    token: another program may have taken the port."""
    try:
        with socket.create_connection((HOST, port), timeout=limit) as connection:
            greeting = b""
            while b"\n" not in greeting and len(greeting) < 65536:
                data = connection.recv(4096)
                if not data:
                    break
                greeting += data
    except OSError:
        return False
    return is_greeting(greeting, name)


def taken(port: int) -> bool:
    """Say whether a server could not listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def is_greeting(line: bytes, name: str) -> bool:
    """Say whether a line is the INFO line of the server called `name`."""
    try:
        return line.startswith(b"INFO ") and json.loads(line[5:]).get("server_name") == name
    except ValueError:
        return False


def complaint(log: str, offset: int = 0, secret: str = "") -> str:
    """Return what a server's log complains about from `offset` on: its last fatal and error lines, else its last."""
    try:
        with open(log, "rb") as file:
            file.seek(max(offset, os.path.getsize(log) - 16384))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        return f"its log {log} cannot be read: {error.strerror}"
    bad = [line for line in lines if "[FTL]" in line or "[ERR]" in line or line.startswith("nats-server:")]
    text = "; ".join(line.split("] ", 2)[-1].strip() for line in (bad or lines)[-3:])
    return text.replace(secret, "***") if secret else text

"""The process that keeps the embedded nats-server.

`python -I -S …/kernel/supervisor HOME BINARY` puts itself into the background, becomes the only supervisor of HOME (or
says `held` and goes), starts nats-server, writes HOME/nats.address, reports `ready` on standard output and stays until
the last user has gone. Users hold a shared lock on HOME/nats.users.lock; this process blocks on the exclusive one,
which it gets the moment the last holder is gone, killed ones included. Only the standard library is imported, and
little of it, so that starting costs tens of milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from gome.kernel.supervisor.finding import (
        HOST,
        START_LIMIT,
        answers,
        birth,
        complaint,
        read_address,
        remove,
        taken,
        write_private,
    )
else:
    # Without site-packages there is no gome; the folder that is run stands first on the path.
    from finding import HOST, START_LIMIT, answers, birth, complaint, read_address, remove, taken, write_private

STOP_LIMIT = 5.0
"""Seconds a server may take to stop before it is killed."""
PORTS = (15000, 32000)
"""Where ports are chosen from: below the ports that systems give to outgoing connections, so that none takes ours."""


def _death_wish() -> Callable[[], None] | None:
    """Return what a child calls before exec to be killed together with this process, where the system can."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def wish() -> None:
        prctl(1, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return wish


class Supervisor:
    """One server and its restarts. `port` and `token` survive a killed supervisor through the address file, so that
    clients that are connected find the next server where the last one was."""

    def __init__(self, home: str, binary: str) -> None:
        self.home, self.binary = home, binary
        self.log = self.file("nats.log")
        self.stopping = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self.wish = _death_wish()
        old = read_address(home) or {}
        self.port = int(old.get("port") or self.some_port())
        self.token = str(old.get("token") or os.urandom(24).hex())
        self.name = "gome-" + os.urandom(6).hex()
        self.end_orphan(old)

    def file(self, name: str) -> str:
        return os.path.join(self.home, name)

    def some_port(self) -> int:
        return PORTS[0] + int.from_bytes(os.urandom(4), "big") % (PORTS[1] - PORTS[0])

    def end_orphan(self, old: dict[str, Any]) -> None:
        """See that the server of a killed supervisor is gone: two of them must never share a store."""
        server = old.get("server") or {}
        pid, born = int(server.get("pid") or 0), str(server.get("birth") or "")
        if not pid or not born or old.get("host") != os.uname().nodename:
            return
        deadline = time.monotonic() + STOP_LIMIT
        while birth(pid) == born:
            # Without start times the id may be anybody's by now; then only one that greets by the old name is ours.
            if born == "alive" and not answers(self.port, str(old.get("name")), 0.2):
                return
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"an earlier nats-server (process {pid}) still runs on the same store")
            time.sleep(0.01)

    def start(self) -> str:
        """Start the server and wait until it greets; returns "" or what went wrong. A taken port is tried again for a
        second (ours may be in the middle of closing), then others are."""
        for tries in range(30):
            if self.stopping.is_set():
                break
            trouble = "address already in use" if taken(self.port) else self.start_once()
            if not trouble:
                self.publish()
                return ""
            if "address already in use" not in trouble:
                return trouble
            if tries < 10:
                self.stopping.wait(0.1)
            else:
                self.port = self.some_port()
        else:
            return f"no free port on {HOST} between {PORTS[0]} and {PORTS[1]}"
        return "it was told to stop"

    def start_once(self) -> str:
        write_private(self.file("nats.conf"), self.config())
        if os.path.exists(self.log) and os.path.getsize(self.log) > 1 << 20:
            os.replace(self.log, self.log + ".1")
        with open(self.log, "ab") as log:
            offset = log.tell()
            self.process = process = subprocess.Popen(
                [self.binary, "-c", self.file("nats.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={},
                cwd="/",
                preexec_fn=self.wish,
            )
        deadline = time.monotonic() + START_LIMIT
        pause = 0.002
        while process.poll() is None and not self.stopping.is_set():
            if answers(self.port, self.name):
                return ""
            if time.monotonic() > deadline:
                self.end()
                return f"nothing listens after {START_LIMIT:.0f} s; " + complaint(self.log, offset, self.token)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        if self.stopping.is_set():
            self.end()
            return "it was told to stop"
        return complaint(self.log, offset, self.token) or f"it ended with code {process.returncode}"

    def config(self) -> str:
        def quote(text: str) -> str:
            return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'

        return (
            f"host: {HOST}\nport: {self.port}\nserver_name: {self.name}\nmax_payload: {1 << 20}\n"
            f"authorization {{ token: {quote(self.token)} }}\n"
            f"jetstream {{ store_dir: {quote(self.file('nats'))}, sync_interval: always }}\n"
        )

    def publish(self, trouble: str = "") -> None:
        """Say where the server is, or why it is not there, to whoever comes next."""
        assert self.process is not None
        address = {
            "url": f"nats://{HOST}:{self.port}",
            "token": self.token,
            "port": self.port,
            "name": self.name,
            "host": os.uname().nodename,
            "trouble": trouble,
            "server": {"pid": self.process.pid, "birth": birth(self.process.pid)},
            "supervisor": {"pid": os.getpid(), "birth": birth(os.getpid())},
        }
        write_private(self.file("nats.address"), json.dumps(address))

    def stop(self, *_: object) -> None:
        """Ask the server to stop, and see that it does. Called by the waiting thread and as a signal handler."""
        self.stopping.set()
        process = self.process
        if process is not None:
            process.terminate()
            killer = threading.Timer(STOP_LIMIT, process.kill)
            killer.daemon = True
            killer.start()

    def end(self) -> None:
        """Stop the server and wait until it is gone, killing it when it takes its time."""
        process = self.process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def await_last_user(self, users: int) -> None:
        fcntl.flock(users, fcntl.LOCK_EX)
        self.stop()

    def keep(self) -> None:
        """Keep the server running until stopped: one that dies is started again, with growing pauses."""
        pause = 0.0
        while not self.stopping.is_set():
            since = time.monotonic()
            if self.process is not None:
                while self.process.poll() is None and not self.stopping.is_set():
                    self.process.wait()
            pause = 0.0 if time.monotonic() - since > 10 else min(max(pause * 2, 0.05), 5.0)
            if not self.stopping.wait(pause):
                with contextlib.suppress(OSError):  # a full disk, say; it may become free again
                    trouble = self.start()
                    if trouble:
                        self.publish(trouble)
        self.end()

    def withdraw(self) -> None:
        """Remove the files that hold the token, unless they are another supervisor's (the folder was replaced)."""
        address = read_address(self.home)
        if address is None or address["supervisor"].get("pid") == os.getpid():
            remove(self.file("nats.address"))
            remove(self.file("nats.conf"))


def report(status: str, detail: str = "") -> None:
    """Tell the starter how it went and let go of its pipe."""
    with contextlib.suppress(OSError):  # the starter may be gone, while others wait
        os.write(1, json.dumps({"status": status, "detail": detail}).encode() + b"\n")
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    os.close(nothing)


def main(home: str, binary: str) -> None:
    """Supervise until the last user has gone."""
    own = os.open(os.path.join(home, "nats.supervisor.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return report("held")
    users = os.open(os.path.join(home, "nats.users.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    supervisor = Supervisor(home, binary)
    signal.signal(signal.SIGTERM, supervisor.stop)
    signal.signal(signal.SIGINT, supervisor.stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    trouble = supervisor.start()
    if trouble:
        supervisor.end()
        supervisor.withdraw()
        return report("failed", trouble)
    report("ready")
    threading.Thread(target=supervisor.await_last_user, args=(users,), daemon=True).start()
    supervisor.keep()
    supervisor.withdraw()
    # This lock first: whoever is let in by the other one must find nobody supervising.
    os.close(own)
    os._exit(0)


if __name__ == "__main__":
    if os.fork():
        os._exit(0)
    try:
        main(sys.argv[1], sys.argv[2])
    except OSError as error:
        report("failed", f"{error.strerror}: {error.filename}" if error.filename else str(error))
    except RuntimeError as error:
        report("failed", str(error))

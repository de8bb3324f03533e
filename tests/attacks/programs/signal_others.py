"""Signals others: everybody, the sandbox's first process, gome by its number, process groups."""

import os
import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
me = os.getpid()


def send(process, number=signal.SIGKILL):
    os.kill(process, number)
    return "sent" if process not in (0, -1) else None  # these may reach nobody but us


trying("gome", lambda: send(KNOWN["gome"]))
trying("everybody", lambda: send(-1, signal.SIGTERM))
trying("a group that is not ours", lambda: os.killpg(1, signal.SIGKILL) or "sent")
trying("queued", lambda: send(KNOWN["gome"] + 1, signal.SIGUSR1))
# Signals to process 1 of a pid namespace are dropped unless it asked for them: sent, but it lives.
try:
    os.kill(1, signal.SIGKILL)
    os.kill(1, signal.SIGTERM)
except OSError:
    pass
trying("the first process has gone", lambda: not os.path.exists("/proc/1"))

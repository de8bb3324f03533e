"""The first process of an execution's container: starts the program, ends it in time, tells what it used.

A script of its own, run by the image's Python (3.8 or newer) with nothing but the standard library; `execution.py`
hands it one line of JSON on standard input (`seconds`, `token`). Standard input is also the lifeline: when it ends,
because the execution is called off or gome has died, everything in the container is killed. Being process 1 it cannot
be signalled by the program, and whoever is still alive when it ends dies with it.

The last line on standard error is the report: the token, which the program cannot know, then JSON.
"""

import ctypes
import json
import os
import platform
import resource
import select
import signal
import sys
import time
from importlib import metadata

LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy", "lightgbm", "torch")
PR_SET_DUMPABLE = 4


def main():
    """Serve one execution."""
    if os.getpid() != 1:
        sys.exit("guard.py is the first process of a container; anywhere else it would kill what is not its own")
    # From now on the program, though it has our user id, can neither read our memory nor trace us.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    order = json.loads(read_line())
    since, began = time.time(), time.monotonic()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    program = os.fork()
    if program == 0:
        become_program()
    status, stop = watch(program, reading, began + order["seconds"])
    seconds = time.monotonic() - began
    bury()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = {
        "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "began": since,
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
        "stop": stop or ("memory" if killed_for_memory() else ""),
        "versions": versions(),
    }
    line = "\n{}{}\n".format(order["token"], json.dumps(report)).encode()
    while line:
        line = line[os.write(2, line) :]


def read_line():
    """The first line of standard input, read byte by byte: what follows is the lifeline."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            sys.exit("nobody said what to run")
        line += byte
    return line


def become_program():
    """In the child: no lifeline, signals as they were, then the program."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # -u: what was printed before a kill is worth having; faulthandler: so is where a crash in C happened.
    os.execv(sys.executable, [sys.executable, "-u", "-X", "faulthandler", "program.py"])


def watch(program, woken, deadline):
    """Wait for the program, its time, or the end of the lifeline; return its wait status (while it is still alive: that
    of a killed one, which it is about to be) and why it must stop."""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return signal.SIGKILL, "time"
        ready = select.select([0, woken], [], [], left)[0]
        if 0 in ready and not os.read(0, 4096):
            return signal.SIGKILL, "cancelled"
        if woken in ready:
            os.read(woken, 4096)
            while True:
                try:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    pid = 0
                if pid == program:
                    return status, ""
                if pid == 0:
                    break


def bury():
    """Kill whoever is alive in this container and wait for all of them."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def killed_for_memory():
    """Whether the kernel has killed somebody in this container for memory (cgroup v2, v1)."""
    for name in ("memory.events", "memory/memory.oom_control"):
        try:
            with open("/sys/fs/cgroup/" + name) as file:
                counts = dict(line.split() for line in file)
        except OSError:
            continue
        return counts.get("oom_kill", "0") != "0"
    return False


def versions():
    """Versions of the interpreter and of the libraries in the image."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()

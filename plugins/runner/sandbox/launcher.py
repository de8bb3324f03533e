"""Starts one program inside fresh namespaces and outlives it: a script of its own, never imported by gome.

gome executes it as `python -I -S launcher.py outer` (cold start), or has the zygote (`zygote.py`) fork a process that
goes on in `outer` (warm start). It writes one line of JSON (the plan, see `plan.py`) to its standard input, which then
stays open as a lifeline. Three processes result:

    outer     in the world of gome: joins the cgroup, makes the namespaces, kills everything when the lifeline ends
    inner     process 1 of the new pid namespace: mounts a root of its own, gives up every right, reaps orphans
    program   limited, pinned, with an empty environment

When inner ends, the kernel kills whatever is left in its pid namespace, double-forked children included. When outer
is killed, inner gets SIGKILL as its parent-death signal. What happened is written as JSON lines to the report, a file
that the program cannot reach. With bubblewrap, `bwrap` makes the namespaces and starts this file as `inner`; with no
isolation at all, outer is a subreaper and kills its descendants one by one. Only the standard library is imported,
and little of it: a start costs some 40 ms. Cold, program is another executable; warm, it is this process, with all that
the zygote has imported.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

Program = Callable[[dict[str, Any]], NoReturn]
"""What the last child becomes, with its plan; it never returns."""

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
ISOLATED = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE, MS_RELATIME, ST_RELATIME = 16384, 1 << 18, 1 << 21, 4096
MNT_DETACH, AT_FDCWD, AT_RECURSIVE, SYS_MOUNT_SETATTR = 2, -100, 0x8000, 442
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 36, 38, 47, 4
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LAST_CAPABILITY = 40

_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    """`struct mount_attr` of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _Filter(ctypes.Structure):
    """`struct sock_fprog` of seccomp(2)."""

    _fields_ = (("count", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _check(code: int, what: str) -> None:
    if code < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _prctl(option: int, value: int, what: str = "") -> None:
    code = _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    if what:
        _check(code, what)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    def raw(text: str | None) -> bytes | None:
        return None if text is None else os.fsencode(text)

    code = _libc.mount(raw(source), raw(target), raw(kind), ctypes.c_ulong(flags), raw(data))
    _check(code, f"mount {source or kind or ''} on {target}")


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


class Report:
    """The file that tells gome what happened; the program inherits no descriptor of it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def say(self, **facts: Any) -> None:
        """Append one line; a single write, so lines of two processes never mix."""
        os.write(self.fd, json.dumps(facts).encode() + b"\n")


# --- the outer process ---------------------------------------------------------------------------------------------


def outer(program: Program, *, orphan: bool = False) -> int:
    """Read the plan, start the inner process, and stay until it has ended or the lifeline is cut. An `orphan` does not
    care whether the process that forked it lives."""
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(0, 65536)
        if not chunk:
            return 0
        line += chunk
    plan = json.loads(line)
    report = Report(os.open(plan["report"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    report.say(pid=os.getpid())
    wake_r, wake_w = os.pipe()
    os.set_blocking(wake_w, False)
    signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
    stopped: list[int] = []
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    if not orphan:
        # SIGTERM, not SIGKILL: a parent-death signal is tied to the *thread* that started us, and we want to tidy up.
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        for path in plan["cgroups"]:
            _write(path, "0")
        if plan["kind"] == "namespaces":
            _isolate(plan)
        alive_r, alive_w = os.pipe()
        child = os.fork()
    except OSError as error:
        report.say(error=str(error), errno=error.errno)
        return 1
    if child == 0:
        signal.set_wakeup_fd(-1)
        os.close(alive_w)
        _begin(plan, report, alive_r, program)
    os.close(alive_r)
    status = _watch(child, wake_r, stopped)
    _kill_rest()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    report.say(
        over=True,
        inner=status,
        cpu_seconds=used.ru_utime + used.ru_stime,
        largest_mb=used.ru_maxrss / 1024,
        at=time.monotonic(),
    )
    return 0


def _isolate(plan: dict[str, Any]) -> None:
    """Leave the namespaces of the host. As an ordinary user this needs a user namespace first; root makes its own
    later (`_surrender`), so that the mounts belong to the host's and no right inside can ever touch them."""
    if plan["privileged"]:
        _check(_libc.unshare(ISOLATED), "unshare")
    else:
        uid, gid = os.geteuid(), os.getegid()
        _check(_libc.unshare(ISOLATED | CLONE_NEWUSER), "unshare with a user namespace")
        _map_ids(plan["inside"], uid, gid)
    _libc.unshare(CLONE_NEWCGROUP)


def _map_ids(inside: int, uid: int, gid: int) -> None:
    """Map our own ids, and only them, to `inside`."""
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{inside} {uid} 1")
    _write("/proc/self/gid_map", f"{inside} {gid} 1")


def _begin(plan: dict[str, Any], report: Report, alive: int, program: Program) -> NoReturn:
    """In the child: become `inner`, or bubblewrap that will start it."""
    code = 1
    try:
        if plan["kind"] == "bubblewrap":
            plan_r, plan_w = os.pipe()
            os.set_blocking(plan_w, False)
            fcntl_size = 1031  # F_SETPIPE_SZ: the whole plan must fit, as nobody reads yet
            ctypes.CDLL(None).fcntl(plan_w, fcntl_size, 1 << 20)
            os.write(plan_w, json.dumps({**plan, "report_fd": report.fd}).encode() + b"\n")
            os.close(plan_w)
            for fd in (plan_r, report.fd):
                os.set_inheritable(fd, True)
            os.execv(plan["bwrap"][0], [*plan["bwrap"], "inner", str(plan_r)])
        code = inner(plan, report, program, alive)
    except OSError as error:
        report.say(error=str(error), errno=error.errno)
    finally:
        os._exit(code)


def _watch(child: int, wake: int, stopped: list[int]) -> int:
    """Wait until the child has ended, by itself or because gome has gone or asks for it; return its wait status."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(wake, select.POLLIN)
    killed = False
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        if stopped and not killed:
            os.kill(child, signal.SIGKILL)
            killed = True
        for fd, _ in poll.poll(1000):
            if not os.read(fd, 4096) and fd == 0:
                stopped.append(1)
                poll.unregister(0)


def _kill_rest() -> None:
    """Kill and reap descendants that were handed to us; there are some without a pid namespace (or with bubblewrap,
    whose first process outlives its monitor by a moment). New ones may be forked while we look, so look again."""
    me = os.getpid()
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        for pid in _children_of(me):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        time.sleep(0.001)


def _children_of(parent: int) -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                yield int(name)


# --- the inner process ---------------------------------------------------------------------------------------------


def inner(plan: dict[str, Any], report: Report, program: Program, alive: int = -1) -> int:
    """Build the root, give up all rights, run the program, reap until it ends; return 0 once it has been started."""
    os.umask(0o022)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with open("/dev/null", "rb") as null:
        os.dup2(null.fileno(), 0)
    # Only a preference: under memory pressure the program should go before gome.
    with contextlib.suppress(OSError):
        _write("/proc/self/oom_score_adj", "500")
    if plan["kind"] == "namespaces":
        _build_root(plan)
        _libc.sethostname(b"gome", 4)
    if plan["kind"] != "none":
        _surrender(plan)
    _prctl(PR_SET_NO_NEW_PRIVS, 1, "no_new_privs")
    # The parent-death signal is lost when ids change, hence here; outer may already have gone, hence the look.
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if alive >= 0 and select.select([alive], [], [], 0)[0]:
        return 1
    if plan["command"] is None:
        _filter(plan)
        report.say(ready=time.monotonic(), unreadable=[p for p in plan["needed"] if not os.access(p, os.R_OK)])
        return 0
    report.say(ready=time.monotonic())
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(plan, report, program)
    while True:
        pid, status = os.wait()
        if pid == child:
            break
    report.say(
        exit_code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
        signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        seconds=time.monotonic() - began,
    )
    return 0


def _become(plan: dict[str, Any], report: Report, program: Program) -> NoReturn:
    """In the last child: limits and affinity, then the program."""
    try:
        report.say(running=time.monotonic())
        _confine(plan)
        program(plan)
    except Exception as error:
        os.write(2, f"cannot start the program: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(127)


def _confine(plan: dict[str, Any]) -> None:
    os.chdir(plan["cwd"])
    for name, value in plan["rlimits"].items():
        which = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # SIGXCPU comes at the soft limit; a program that ignores it is killed at the hard one.
        resource.setrlimit(which, (value, value + 5 if name == "CPU" and hard < 0 else value))
    if plan["cpus"]:
        os.sched_setaffinity(0, plan["cpus"])
    os.closerange(3, 256)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # without a pid namespace the end of inner would not be ours
    _prctl(PR_SET_DUMPABLE, 1)  # a program may look at itself, as one that was executed may
    _filter(plan)


def execute(plan: dict[str, Any]) -> NoReturn:
    """The cold start: another executable takes this process's place."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(plan["command"][0], plan["command"], plan["env"])
    except OSError as error:
        os.write(2, f"cannot start {plan['command'][0]}: {error}\n".encode())
    os._exit(127)


def _filter(plan: dict[str, Any]) -> None:
    """Install the plan's filter of system calls (see `seccomp.py`), if it has one; it holds for all that follows."""
    if code := bytes.fromhex(plan["filter"]):
        program = _Filter(len(code) // 8, code)
        null = ctypes.c_ulong(0)
        mode = ctypes.c_ulong(SECCOMP_MODE_FILTER)
        _check(_libc.prctl(PR_SET_SECCOMP, mode, ctypes.byref(program), null, null), "installing the seccomp filter")


def _surrender(plan: dict[str, Any]) -> None:
    """Become an unprivileged user without capabilities, who cannot make user namespaces (and so gain rights in one)."""
    if plan["kind"] == "namespaces":
        if plan["privileged"]:
            for capability in range(LAST_CAPABILITY + 1):
                _prctl(PR_CAPBSET_DROP, capability)
            os.setgroups([])
            os.setresgid(plan["gid"], plan["gid"], plan["gid"])
            os.setresuid(plan["uid"], plan["uid"], plan["uid"])
            _prctl(PR_SET_DUMPABLE, 1)  # else /proc/self belongs to root after the change of ids
            if _libc.unshare(CLONE_NEWUSER) == 0:
                _map_ids(plan["inside"], plan["uid"], plan["gid"])
        # Fails where the host allows no user namespaces at all: then there is nothing to forbid.
        with contextlib.suppress(OSError):
            _write("/proc/sys/user/max_user_namespaces", "0")
    for capability in range(LAST_CAPABILITY + 1):
        _prctl(PR_CAPBSET_DROP, capability)
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    _prctl(PR_SET_DUMPABLE, 0)  # the program must not trace us


# --- the root of the sandbox ---------------------------------------------------------------------------------------


def _build_root(plan: dict[str, Any]) -> None:
    """Mount a small tmpfs, put into it what the plan names, and make it the root; nothing else exists afterwards."""
    root = plan["root"]
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=8k,mode=755")
    for kind, source, target, detail in plan["mounts"]:
        place = root + target
        if kind == "link":
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if not os.path.lexists(place):
                os.symlink(source, place)
        elif kind == "tmpfs":
            os.makedirs(place, exist_ok=True)
            _mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, detail)
        elif kind == "hide":
            _mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, "size=4k,nr_inodes=2,mode=555")
        elif kind == "proc":
            os.makedirs(place, exist_ok=True)
            # Refused inside containers where a new /proc would show what theirs hides: do without.
            with contextlib.suppress(PermissionError):
                _mount("proc", place, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        else:
            _bind(kind, source, place)
    for place in (root + "/dev", root):
        _seal(place, MS_RDONLY | MS_NOSUID | MS_NODEV, recursive=False)
    os.chdir(root)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "unmounting the old root")
    os.chdir("/")


def _bind(kind: str, source: str, place: str) -> None:
    """Show `source` at `place`: `ro` read-only, `rw` writable, `dev` a device file."""
    if os.path.isdir(source):
        os.makedirs(place, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if not os.path.lexists(place):
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))
    _mount(source, place, None, MS_BIND | MS_REC)
    if kind != "dev":
        _seal(place, MS_NOSUID | MS_NODEV | (MS_RDONLY if kind == "ro" else 0))


def _seal(place: str, flags: int, *, recursive: bool = True) -> None:
    """Add flags to a mount and all below it; mount_setattr where the kernel has it (5.12), else one by one."""
    attributes = _Attributes(flags, 0, 0, 0)
    code = _libc.syscall(
        ctypes.c_long(SYS_MOUNT_SETATTR),
        ctypes.c_int(AT_FDCWD),
        os.fsencode(place),
        ctypes.c_uint(AT_RECURSIVE if recursive else 0),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    if code == 0:
        return
    for point in _mounts_below(place) if recursive else [place]:
        held = os.statvfs(point).f_flag
        kept = held & 0xC0F | (MS_RELATIME if held & ST_RELATIME else 0)
        _mount(None, point, None, MS_REMOUNT | MS_BIND | flags | kept)


def _mounts_below(place: str) -> list[str]:
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            point = line.split()[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
            if point == place or point.startswith(place + "/"):
                found.append(point)
    return found


def main(arguments: list[str]) -> int:
    """`outer`, or `inner FD` when bubblewrap starts us."""
    if arguments[0] == "outer":
        return outer(execute)
    with open(int(arguments[1]), "rb") as file:
        plan = json.loads(file.readline())
    os.set_inheritable(plan["report_fd"], False)
    report = Report(plan["report_fd"])
    try:
        return inner(plan, report, execute)
    except OSError as error:
        report.say(error=str(error), errno=error.errno)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Becomes somebody else: ids, capabilities, programs that run as their owner, undoing what was given up."""

import ctypes
import os
import resource
import shutil
import subprocess

libc = ctypes.CDLL(None, use_errno=True)


def check(code):
    if code < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "done"


for uid in (0, 1, 65534):
    trying(f"setuid {uid}", lambda uid=uid: os.setuid(uid) or "done")
    trying(f"setresuid {uid}", lambda uid=uid: os.setresuid(uid, uid, uid) or "done")
    trying(f"setgid {uid}", lambda uid=uid: os.setgid(uid) or "done")
trying("setgroups", lambda: os.setgroups([0]) or "done")
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
trying("capset", lambda: check(libc.capset(header, data)))
trying("ambient", lambda: check(libc.prctl(47, 2, 21, 0, 0)))
trying("clear no_new_privs", lambda: check(libc.prctl(38, 0, 0, 0, 0)))
trying("no seccomp", lambda: check(libc.prctl(22, 0, 0, 0, 0)))
trying("keep capabilities", lambda: check(libc.prctl(28, 0x2F, 0, 0, 0)))
for name in ("NPROC", "FSIZE", "NOFILE", "CPU", "CORE"):
    which = getattr(resource, f"RLIMIT_{name}")
    trying(f"raise {name}", lambda which=which: resource.setrlimit(which, (1 << 40, 1 << 40)) or "done")
trying("real time", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)) or "done")
trying("a better nice value", lambda: os.nice(-10) and "done")
for name in ("su", "sudo", "mount", "newgrp", "pkexec", "chsh"):
    if shutil.which(name):
        command = [name, "-c", "id -u"] if name == "su" else [name, "-n", "id"]
        trying(name, lambda c=command: subprocess.run(c, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0)


def setuid_shell():
    shutil.copy("/bin/sh", "/work/sh")
    os.chmod("/work/sh", 0o6755)
    said = subprocess.run(["/work/sh", "-p", "-c", "id -u"], capture_output=True, text=True).stdout.strip()
    return said not in ("", str(os.getuid()))


trying("a setuid shell", setuid_shell)

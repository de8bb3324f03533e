"""Mounts, unmounts and changes its root, by the old calls and the new."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)


def check(code):
    if code < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return f"done {code}"


for kind in (b"tmpfs", b"proc", b"sysfs", b"cgroup2", b"devtmpfs", b"overlay", b"bpf"):
    trying(f"mount {kind.decode()}", lambda kind=kind: check(libc.mount(b"x", b"/tmp", kind, 0, None)))
trying("bind", lambda: check(libc.mount(b"/work", b"/tmp", None, 4096, None)))
trying("remount /", lambda: check(libc.mount(None, b"/", None, 32, None)))
trying("unmount /tmp", lambda: check(libc.umount2(b"/tmp", 2)))
trying("unmount /proc", lambda: check(libc.umount2(b"/proc", 2)))
trying("chroot", lambda: os.chroot("/work") or "done")
trying("pivot_root", lambda: check(libc.pivot_root(b"/work", b"/work/input")))
trying("fsopen", lambda: check(libc.syscall(430, b"tmpfs", 0)))
trying("open_tree", lambda: check(libc.syscall(428, -100, b"/", 1)))
trying("move_mount", lambda: check(libc.syscall(429, -100, b"/tmp", -100, b"/work", 0)))
trying("mount_setattr", lambda: check(libc.syscall(442, -100, b"/", 0, ctypes.create_string_buffer(32), 32)))
trying("swapon", lambda: check(libc.swapon(b"/work/program.py", 0)))

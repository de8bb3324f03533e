"""Makes namespaces to be root in: by unshare, by clone, by clone3, by entering others'."""

import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)
flags = {"user": 0x10000000, "mount": 0x20000, "net": 0x40000000, "pid": 0x20000000, "ipc": 0x8000000, "time": 0x80}


def check(code):
    if code < 0:
        raise OSError(ctypes.get_errno(), "refused")
    if code == 0:
        os._exit(0)
    return "done"


for name, flag in flags.items():
    trying(f"unshare {name}", lambda flag=flag: libc.unshare(flag) == 0)
trying("unshare user and mount", lambda: libc.unshare(0x10020000) == 0)
clone = {"x86_64": 56, "aarch64": 220}.get(platform.machine(), 56)
for name, flag in flags.items():
    if name != "time":
        trying(f"clone {name}", lambda flag=flag: check(libc.syscall(clone, flag | 17, None, None, None, None)))
arguments = (ctypes.c_uint64 * 8)(0x10000000, 0, 0, 0, 17, 0, 0, 0)
trying("clone3", lambda: check(libc.syscall(435, arguments, 64)))
for name in ("user", "mnt", "net", "pid"):
    path = f"/proc/1/ns/{name}"
    trying(f"enter {path}", lambda path=path: libc.setns(os.open(path, os.O_RDONLY), 0) == 0)
    own = f"/proc/self/ns/{name}"
    trying(f"enter {own}", lambda own=own: libc.setns(os.open(own, os.O_RDONLY), 0) == 0)

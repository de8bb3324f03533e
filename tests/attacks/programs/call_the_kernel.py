"""Calls what programs have broken out of the kernel through: bpf, perf, io_uring, userfaultfd, keys, modules."""

import ctypes
import platform

libc = ctypes.CDLL(None, use_errno=True)
column = {"x86_64": 0, "aarch64": 1}[platform.machine()]
page = ctypes.create_string_buffer(4096)
calls = {
    "bpf": ((321, 280), 0, page, 72),
    "perf_event_open": ((298, 241), page, 0, -1, -1, 0),
    "io_uring_setup": ((425, 425), 8, page),
    "userfaultfd": ((323, 282), 0),
    "add_key": ((248, 217), b"user", b"x", b"x", 1, -3),
    "request_key": ((249, 218), b"user", b"x", None, 0),
    "keyctl": ((250, 219), 0, -3, 1),
    "init_module": ((175, 105), page, 4096, b""),
    "finit_module": ((313, 273), 0, b"", 0),
    "kexec_load": ((246, 104), 0, 0, None, 0),
    "reboot": ((169, 142), 0xFEE1DEAD, 672274793, 0x89ABCDEF, None),
    "clock_settime": ((227, 112), 0, page),
    "settimeofday": ((164, 170), page, None),
    "acct": ((163, 89), b"/work/x"),
    "name_to_handle_at": ((303, 264), -100, b"/", page, page, 0),
    "open_by_handle_at": ((304, 265), 0, page, 0),
    "fanotify_init": ((300, 262), 0, 0),
    "process_madvise": ((440, 440), 0, page, 0, 0, 0),
    "kcmp": ((312, 272), 1, 2, 0, 0, 0),
    "memfd_secret": ((447, 447), 0),
    "quotactl": ((179, 60), 0x800001, None, 0, page),
    "personality": ((135, 92), 0x0040000),
}


def call(numbers, *arguments):
    code = libc.syscall(numbers[column], *arguments)
    if code < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return f"done {code}"


for name, (numbers, *arguments) in calls.items():
    trying(name, lambda n=numbers, a=arguments: call(n, *a))

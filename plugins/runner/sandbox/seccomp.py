"""The filter of system calls that every program runs under, made here as data: classic BPF for seccomp(2).

A list of refusals, not of permissions: libraries for numbers use far more of the kernel than anybody can list, and what
a program gains from a refused call is never what it was written for. Refused is what reaches out (sockets other than
unix ones), what makes rights (namespaces, mounts, keys, tracing), what has been the way into kernels (bpf, io_uring,
userfaultfd, perf), and memory that no process is charged for (System V segments, memory files). Refusals are errors,
which programs can handle; only calls of another architecture kill. `plan.py` puts the filter into the plan, the
launcher installs it; nothing here changes anything.

Numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from functools import lru_cache

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column in the tables below and AUDIT_ARCH value by machine name."""

X32 = 0x40000000
"""Bit of the calls of x86_64's second, 32-bit numbering."""

REFUSED: dict[str, tuple[int | None, int | None]] = {
    # Mounts, roots and namespaces; those that exist are left by clone and unshare, see SHARED.
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "open_tree_attr": (467, 467),
    "setns": (308, 268),
    # Other processes, from within.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # Large, young or privileged parts of the kernel.
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "vmsplice": (278, 75),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "nfsservctl": (180, 42),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    # The machine as a whole.
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "create_module": (174, None),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    # Memory that belongs to no process.
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "memfd_secret": (447, 447),
}
"""Calls that answer EPERM, with their numbers on x86_64 and aarch64 (None: there is none)."""

CLONE, UNSHARE, CLONE3 = (56, 220), (272, 97), (435, 435)
SOCKET, SOCKETPAIR, IOCTL = (41, 198), (53, 199), (16, 29)
PERSONALITY, MKNOD, MKNODAT, MEMFD = (135, 92), (133, None), (259, 33), (319, 279)

NAMESPACES = 0x7E020000
"""CLONE_NEW* flags: mount, cgroup, uts, ipc, user, pid, net."""
NEWTIME = 0x80
"""CLONE_NEWTIME; in clone(2) these bits are the signal at the child's end."""

AF_UNIX, AF_NETLINK = 1, 16
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
"""Terminal calls that type in the name of whoever sits there."""
DEVICE = 0o020000
"""The bit of a file's mode that device files have."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in `struct seccomp_data`. Of an argument the low half is looked at: the kernel takes no more of these."""

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand of `struct sock_filter`."""


def _refuse(number: int) -> Instruction:
    return (_RETURN, 0, 0, _ERROR | number)


def _when(number: int | None, body: list[Instruction]) -> list[Instruction]:
    """Instructions for one system call; `body` must return in all its ways."""
    return [] if number is None else [(_EQUAL, 0, len(body), number), *body]


def _argument(index: int) -> Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * index)


def instructions(machine: str, *, graphics: bool) -> list[Instruction]:
    """The filter for a machine of ARCHITECTURES. With `graphics` what NVIDIA's driver may ask for stays allowed:
    netlink sockets and memory files."""
    column, architecture = ARCHITECTURES[machine]
    allow: Instruction = (_RETURN, 0, 0, _ALLOW)
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, X32), _refuse(errno.ENOSYS)]
    for numbers in REFUSED.values():
        code += _when(numbers[column], [_refuse(errno.EPERM)])
    # Its flags lie behind a pointer, where no filter can look; C libraries fall back to clone.
    code += _when(CLONE3[column], [_refuse(errno.ENOSYS)])
    for numbers, flags in ((CLONE, NAMESPACES), (UNSHARE, NAMESPACES | NEWTIME)):
        code += _when(numbers[column], [_argument(0), (_ANY_BIT, 0, 1, flags), _refuse(errno.EPERM), allow])
    families = (AF_UNIX, AF_NETLINK) if graphics else (AF_UNIX,)
    allowed: list[Instruction] = []
    for family in families:
        allowed += [(_EQUAL, 0, 1, family), allow]
    for numbers in (SOCKET, SOCKETPAIR):
        code += _when(numbers[column], [_argument(0), *allowed, _refuse(errno.EAFNOSUPPORT)])
    terminal: list[Instruction] = []
    for request in (TIOCSTI, TIOCLINUX):
        terminal += [(_EQUAL, 0, 1, request), _refuse(errno.EPERM)]
    code += _when(IOCTL[column], [_argument(1), *terminal, allow])
    asking = 0xFFFFFFFF
    code += _when(PERSONALITY[column], [_argument(0), (_EQUAL, 1, 0, asking), _refuse(errno.EPERM), allow])
    for numbers, index in ((MKNOD, 1), (MKNODAT, 2)):
        code += _when(numbers[column], [_argument(index), (_ANY_BIT, 0, 1, DEVICE), _refuse(errno.EPERM), allow])
    if not graphics:
        code += _when(MEMFD[column], [_refuse(errno.ENOSYS)])
    return [*code, allow]


@lru_cache(maxsize=1)
def problem() -> str:
    """Why no filter can be installed here, "" when one can. Asked with a filter at address 0, which a kernel with
    seccomp finds bad only after it has agreed to filters (seccomp(2), EFAULT)."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        return f"no list of system calls for {machine}"
    libc = ctypes.CDLL(None, use_errno=True)
    set_seccomp, mode_filter, none = 22, ctypes.c_ulong(2), ctypes.c_ulong(0)
    libc.prctl(set_seccomp, mode_filter, none, none, none)
    answer = ctypes.get_errno()
    return "" if answer == errno.EFAULT else f"this kernel has no filters of system calls ({errno.errorcode[answer]})"


@lru_cache(maxsize=2)
def encoded(*, graphics: bool) -> str:
    """The filter for this machine as hexadecimal digits of an array of `struct sock_filter`, "" when there is none."""
    if problem():
        return ""
    code = instructions(platform.machine(), graphics=graphics)
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code).hex()

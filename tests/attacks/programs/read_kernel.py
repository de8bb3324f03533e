"""Reads memory and logs of the machine: kernel memory, block devices, the kernel's messages, what is in /sys."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
for path in ("/dev/mem", "/dev/kmem", "/dev/port", "/dev/vda", "/dev/sda", "/dev/kmsg", "/proc/kcore", "/proc/kmsg"):
    trying(path, lambda path=path: open(path, "rb").read(16))
trying("/sys", lambda: os.listdir("/sys/kernel"))
trying("/proc/kallsyms", lambda: [s for s in open("/proc/kallsyms") if int(s.split()[0], 16)][:1])
buffer = ctypes.create_string_buffer(4096)
trying("syslog", lambda: libc.klogctl(3, buffer, 4096) > 0)

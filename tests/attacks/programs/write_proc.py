"""Turns the kernel's knobs: sysctls, the out-of-memory score, id maps, core patterns, cgroups."""

import os

for path, text in {
    "/proc/sys/kernel/core_pattern": "|/work/x",
    "/proc/sys/kernel/hostname": "x",
    "/proc/sys/kernel/randomize_va_space": "0",
    "/proc/sys/kernel/shmmax": "1",
    "/proc/sys/vm/drop_caches": "1",
    "/proc/sys/vm/overcommit_memory": "1",
    "/proc/sys/fs/file-max": "1",
    "/proc/sys/fs/binfmt_misc/register": ":x:M::x::/work/x:",
    "/proc/sys/user/max_user_namespaces": "100",
    "/proc/sys/net/ipv4/ip_forward": "1",
    "/proc/sysrq-trigger": "h",
    "/proc/self/oom_score_adj": "-1000",
    "/proc/self/uid_map": "0 0 1",
    "/proc/self/setgroups": "allow",
    "/proc/1/oom_score_adj": "1000",
    "/proc/1/mem": "x",
    "/proc/1/comm": "x",
    "/proc/1/coredump_filter": "ff",
}.items():
    trying(path, lambda path=path, text=text: os.write(os.open(path, os.O_WRONLY), text.encode()))
trying("cgroup", lambda: open("/sys/fs/cgroup/memory/memory.limit_in_bytes", "w").write("-1"))
trying("loginuid", lambda: os.listdir("/sys/fs/cgroup"))

"""Takes disk space without writing: fallocate on nameless files."""

import os
import time

held = []
for _ in range(500):
    fd = os.open("/work/f", os.O_RDWR | os.O_CREAT)
    os.unlink("/work/f")
    trying("allocate", lambda fd=fd: os.posix_fallocate(fd, 0, 4 << 20) or "done")
    won.clear()  # glibc writes zeros where it may not allocate: what counts is that it is seen
    held.append(fd)
    time.sleep(0.005)
time.sleep(60)

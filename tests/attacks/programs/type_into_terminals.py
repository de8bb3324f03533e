"""Types commands into the terminal that gome was started from."""

import fcntl
import os

for fd in (0, 1, 2):
    for request in (0x5412, 0x541C):
        trying(f"{request:#x} on {fd}", lambda fd=fd, r=request: fcntl.ioctl(fd, r, b"x") or "done")
trying("/dev/tty", lambda: os.open("/dev/tty", os.O_RDWR))
trying("a controlling terminal", lambda: fcntl.ioctl(0, 0x540E, 0) or "done")

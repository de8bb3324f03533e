"""Takes kernel memory in the buffers of pipes, which no process is seen to hold."""

import fcntl
import os

size, count = 0, 0
try:
    while size < 1 << 30:
        r, w = os.pipe()
        os.set_blocking(w, False)
        try:
            fcntl.fcntl(w, 1031, 1 << 20)
        except OSError:
            pass
        try:
            while True:
                size += os.write(w, bytes(1 << 16))
        except BlockingIOError:
            pass
except OSError as error:
    lost["pipes"] = error.strerror
if size >= 1 << 30:
    won["pipes"] = size

"""Prints hundreds of megabytes without a single line break, on both outputs at once, with nothing that is text."""

import os

fd = 1 if os.fork() == 0 else 2
block = bytes(range(128, 256)) * 8192
for _ in range(150):
    view = memoryview(block)
    while view:
        view = view[os.write(fd, view) :]
if fd == 1:
    os._exit(0)
os.wait()

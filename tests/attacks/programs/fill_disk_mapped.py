"""Fills the disk through maps of files that have no name and no descriptor any more."""

import mmap
import os
import time

held = []
block = bytes(4 << 20)
for _ in range(500):
    fd = os.open("/work/f", os.O_RDWR | os.O_CREAT)
    os.unlink("/work/f")
    os.ftruncate(fd, len(block))
    held.append(mmap.mmap(fd, len(block)))
    os.close(fd)
    held[-1].write(block)
    held[-1].flush()
    time.sleep(0.005)
time.sleep(60)

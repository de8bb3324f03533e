"""Fills the disk with files that have no name any more: unlinked, but held open."""

import time

held = []
block = bytes(4 << 20)
for _ in range(500):
    file = open("/work/f", "wb", buffering=0)
    __import__("os").unlink("/work/f")
    file.write(block)
    held.append(file)
    time.sleep(0.005)
time.sleep(60)

"""Fills the disk as fast as it can, in many files from several processes."""

import os

block = bytes(4 << 20)
for worker in range(3):
    if os.fork() == 0:
        break
else:
    worker = 3
for number in range(2000):
    with open(f"/work/f{worker}-{number}", "wb", buffering=0) as file:
        file.write(block)

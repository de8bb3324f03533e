"""Fills the disk as fast as it can, in many files from several processes."""

import os

block = bytes(4 << 20)
worker = 2 * bool(os.fork()) + bool(os.fork())
for number in range(2000):
    with open(f"/work/f{worker}-{number}", "wb", buffering=0) as file:
        file.write(block)

"""Prints a gigabyte in lines of a hundred characters."""

import os

print("first", flush=True)
block = (b"x" * 99 + b"\n") * 10_000
for _ in range(1000):
    view = memoryview(block)
    while view:
        view = view[os.write(1, view) :]
print("last", flush=True)

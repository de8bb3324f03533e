"""Takes all memory in files: /dev/shm and /tmp, which no process has mapped, beside what it holds itself."""

import time

held = bytearray(60 << 20)
for folder in ("/dev/shm", "/tmp"):
    try:
        for number in range(20):
            with open(f"{folder}/{number}", "wb", buffering=0) as file:
                for _ in range(8):
                    file.write(bytes(1 << 20))
    except OSError as error:
        lost[folder] = error.strerror
time.sleep(60)

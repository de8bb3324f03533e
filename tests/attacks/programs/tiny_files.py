"""Uses up the file system's inodes with empty files, in folders that cannot be listed."""

import os

for folder in range(1000):
    os.mkdir(f"/work/{folder}")
    for number in range(1000):
        os.close(os.open(f"/work/{folder}/{number}", os.O_CREAT | os.O_WRONLY))

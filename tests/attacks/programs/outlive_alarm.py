"""Ignores the signals that end programs, and lets children of its children go on printing."""

import os
import signal
import time

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU, signal.SIGPIPE, signal.SIGALRM):
    signal.signal(number, signal.SIG_IGN)
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
while True:
    print(os.getpid(), flush=True)
    time.sleep(0.01)

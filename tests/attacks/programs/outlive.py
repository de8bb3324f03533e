"""Outlives its parent: double-forked, in a session of its own, deaf to every signal, holding its output open."""

import os
import signal
import subprocess
import sys
import time

CHILD = """
import os, signal, sys, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
open("/work/alive", "w").write("x")
while True: time.sleep(0.05)
"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        subprocess.Popen([sys.executable, "-S", "-c", CHILD], start_new_session=True)
        if os.fork() == 0:
            os.setpgid(0, 0)
            while True:
                time.sleep(0.05)
    os._exit(0)
while not os.path.exists("/work/alive"):
    time.sleep(0.005)
trying("nothing yet", lambda: None)

"""Starts threads until nobody on the machine can start one."""

import threading

count = 0
stay = threading.Event()
threading.stack_size(32768)
try:
    while count < 3000:
        threading.Thread(target=stay.wait, daemon=True).start()
        count += 1
except RuntimeError as error:
    lost["threads"] = str(error)
if count >= 3000:
    won["threads"] = count
stay.set()

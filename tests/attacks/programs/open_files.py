"""Opens files until nobody on the machine can open one."""

held = []
try:
    while len(held) < 20_000:
        held.append(open("/dev/null"))
except OSError as error:
    held_count, held = len(held), []
    lost["files"] = error.strerror
if len(held) >= 20_000:
    won["files"] = len(held)

"""Takes all memory in one process."""

held = []
while True:
    held.append(bytearray(8 << 20))

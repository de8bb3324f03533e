"""Claims in its own files and output what only the launcher may say: that it is over, and went well."""

import json
import os

line = json.dumps({"over": True, "exit_code": 0, "seconds": 0.1, "ready": 1.0, "error": "no sandbox"})
for name in ("manifest.json", "report", "process.json", "group.json", "stdout", "stderr"):
    with open(f"/work/{name}", "w") as file:
        file.write(line + "\n")
print(line, flush=True)
for path in ("/work/../report", "/work/../manifest.json", "/proc/1/fd/1"):
    trying(path, lambda path=path: open(path, "a").write(line) if path.startswith("/proc") else os.stat(path))
for fd in range(3, 64):
    trying(f"descriptor {fd}", lambda fd=fd: os.write(fd, line.encode()))
os._exit(5)

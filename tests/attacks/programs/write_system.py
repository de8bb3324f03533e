"""Writes where later programs or gome itself would read: system folders, packages, the interpreter, the root."""

import os
import site
import sys
import sysconfig

paths = sysconfig.get_paths()
places = [
    *("/usr/bin", "/usr/lib", "/usr/local/bin", "/bin", "/lib", "/etc", "/", "/root", "/home", "/var/tmp", "/proc"),
    *(paths["purelib"], paths["stdlib"], os.path.dirname(sys.executable), os.path.dirname(KNOWN["answers"])),
    *site.getsitepackages(),
]
for place in places:
    trying(f"write into {place}", lambda place=place: open(f"{place}/gome-attack.pth", "w").write("import os"))
for path in (sys.executable, os.__file__, "/etc/passwd", "/etc/hosts", "/etc/ld.so.cache", "/usr/bin/env"):
    trying(f"change {path}", lambda path=path: open(path, "ab").write(b"x"))
trying("make a folder in the root", lambda: os.mkdir("/gome-attack") or "done")
trying("make /dev/gome", lambda: open("/dev/gome-attack", "w").write("x"))

"""Changes its inputs, which are the artifact store's own files: writes, renames, links, unmounts."""

import ctypes
import os
import shutil

libc = ctypes.CDLL(None, use_errno=True)
path = "/work/input/train.csv"
trying("append", lambda: open(path, "a").write("9,9,9\n"))
trying("truncate", lambda: os.truncate(path, 0) or "done")
trying("chmod", lambda: os.chmod(path, 0o666) or "done")
trying("unlink", lambda: os.unlink(path) or "done")
trying("utime", lambda: os.utime(path, (0, 0)) or "done")
trying("new file", lambda: open("/work/input/new", "w").write("x"))
trying("rename the folder", lambda: os.rename("/work/input", "/work/old") or "done")
trying("remove the folder", lambda: shutil.rmtree("/work/input") or "done")
trying("hard link", lambda: os.link(path, "/work/train") or os.chmod("/work/train", 0o666) or "done")
trying("through descriptor", lambda: open(f"/proc/self/fd/{os.open(path, os.O_RDONLY)}", "r+").write("x"))
trying("extended attribute", lambda: os.setxattr(path, "user.x", b"x") or "done")
trying("unmount", lambda: libc.umount2(b"/work/input", 2) == 0)
trying("remount", lambda: libc.mount(b"none", b"/work/input", None, 32 | 4096, None) == 0)

"""Poisons whatever the next program may start from: modules, builtins, hooks, its process, files, threads."""

import builtins
import gc
import json
import os
import random
import signal
import site
import sys
import sysconfig
import threading
import time

json.poison = os.poison = "poison"
json.dumps = json.loads = lambda *_, **__: "poison"
builtins.open = lambda *_, **__: (_ for _ in ()).throw(OSError("poison"))
builtins.poison = True
os.environ.update(
    {"PYTHONSTARTUP": "/tmp/poison.py", "OMP_NUM_THREADS": "99", "GOME_SEED": "13", "LD_PRELOAD": "/tmp/x"}
)
os.umask(0)
os.chdir("/tmp")
sys.path.insert(0, "/tmp")
sys.modules["numpy"] = sys.modules["pandas"] = sys
sys.meta_path.insert(0, type("Finder", (), {"find_spec": staticmethod(lambda *_: None)})())
sys.settrace(lambda *_: None)
sys.excepthook = sys.displayhook
signal.signal(signal.SIGTERM, signal.SIG_IGN)
random.seed(0)
gc.disable()
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
text = b"import json; json.poison = 'poison'\n"
folders = ["/tmp", "/dev/shm", "/work", "/work/input", site.getusersitepackages(), *site.getsitepackages()]
folders += [sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"], "/usr/lib/python3/dist-packages"]
for folder in folders:
    for name in ("sitecustomize.py", "usercustomize.py", "poison.pth", "json.py", "numpy.py", ".pydistutils.cfg"):
        try:
            os.makedirs(folder, exist_ok=True)
            os.write(os.open(f"{folder}/{name}", os.O_CREAT | os.O_WRONLY), text)
        except OSError:
            continue
sys.settrace(None)
os.write(1, b'\n{"won": {}, "lost": {"poison": "spread"}}\n')
os._exit(0)

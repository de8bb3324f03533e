"""Reads another run's working folder and log, gome's settings, and the artifact store by name."""

import os
import sys

home = os.path.dirname(KNOWN["config"])
for name in ("other", "log", "config"):
    trying(f"read {name}", lambda name=name: open(KNOWN[name]).read())
for folder in (home, f"{home}/artifacts", f"{home}/work", f"{home}/nats", os.path.dirname(home)):
    # Folders above a shown one exist, with nothing in them but the way there.
    trying(f"list {folder}", lambda folder=folder: os.listdir(folder))
trying("a sibling of the working folder", lambda: os.listdir("/work/../../deadbeef/box"))
trying("gome's own code", lambda: __import__("gome.kernel").__path__)
trying("gome's files", lambda: [f for p in sys.path for f in os.listdir(p + "/gome")] if sys.path else [])

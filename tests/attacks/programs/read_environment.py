"""Reads gome's secrets out of the environment: its own, and that of every process it can see."""

import os

for name in KNOWN["secrets"]:
    trying(f"own {name}", lambda name=name: os.environ.get(name))


def environment_of(process):
    text = open(f"/proc/{process}/environ", "rb").read().decode()
    return [name for name in KNOWN["secrets"] if name in text]


for process in ("self", "1", "2", str(KNOWN["gome"]), str(os.getppid())):
    trying(f"environ of {process}", lambda process=process: environment_of(process))

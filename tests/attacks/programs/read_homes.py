"""Reads keys in home folders: the one it was told of, root's, everybody's."""

import glob
import os

for name in ("key", "cloud"):
    trying(f"read {name}", lambda name=name: open(KNOWN[name]).read())
for pattern in ("/root/.ssh/*", "/home/*/.ssh/*", "/root/.[a-z]*rc", "/home/*/.[a-z]*", "~/.ssh/*", "/root/.gome/*"):
    trying(pattern, lambda pattern=pattern: glob.glob(os.path.expanduser(pattern)))
for path in ("/etc/shadow", "/etc/ssh", "/etc/hostname", "/etc/machine-id", "/etc/resolv.conf", "/var/spool/cron"):
    trying(path, lambda path=path: os.listdir(path) if os.path.isdir(path) else open(path).read())

"""Talks to a container daemon through its socket."""

import socket


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(1)
    client.connect(path)
    return "connected"


for path in (KNOWN["unix"], "/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"):
    trying(path, lambda path=path: connect(path))

"""Lets a name server carry a message out: the usual lookups, and by hand."""

import socket
import subprocess


def lookup(name):
    return [f for f in socket.getaddrinfo(name, 80) if not f[4][0].startswith(("127.", "::1"))]


for name in ("secret.example.com", "example.com", "metadata.google.internal"):
    trying(name, lambda name=name: lookup(name))
trying("reverse", lambda: socket.gethostbyaddr("8.8.8.8"))
trying("getent", lambda: subprocess.run(["getent", "hosts", "example.com"], capture_output=True).stdout)

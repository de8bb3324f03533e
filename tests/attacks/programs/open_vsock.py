"""Talks to the machine that this machine is a guest of."""

import os
import socket


def connect(host):
    client = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    client.settimeout(1)
    client.connect((host, 22))
    return "connected"


for host in (1, 2, 3):
    trying(f"context {host}", lambda host=host: connect(host))
trying("/dev/vsock", lambda: os.open("/dev/vsock", os.O_RDWR))

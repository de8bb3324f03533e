"""Connects to unix sockets of the machine: by path, by abstract name, through /proc, as datagrams."""

import os
import socket


def connect(address, kind=socket.SOCK_STREAM):
    client = socket.socket(socket.AF_UNIX, kind)
    client.settimeout(1)
    client.connect(address)
    return "connected"


trying("path", lambda: connect(KNOWN["unix"]))
trying("through proc", lambda: connect("/proc/1/root" + KNOWN["unix"]))
trying("abstract", lambda: connect(KNOWN["abstract"]))
for path in ("/run/systemd/private", "/run/dbus/system_bus_socket", "/tmp/.X11-unix/X0", "/dev/log"):
    trying(path, lambda path=path: connect(path))
trying("journal", lambda: connect("/run/systemd/journal/socket", socket.SOCK_DGRAM))
trying("names in /proc/net/unix", lambda: [n for n in open("/proc/net/unix").readlines()[1:] if "@" in n])
trying("descriptors that were left open", lambda: [fd for fd in os.listdir("/proc/self/fd") if int(fd) > 3])

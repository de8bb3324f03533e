"""Opens raw and packet sockets, and those of rarer families."""

import socket

kinds = {
    "icmp": (socket.AF_INET, socket.SOCK_RAW, 1),
    "ping": (socket.AF_INET, socket.SOCK_DGRAM, 1),
    "packet": (socket.AF_PACKET, socket.SOCK_RAW, 0x0300),
    "bluetooth": (31, socket.SOCK_RAW, 1),
    "can": (29, socket.SOCK_RAW, 1),
    "crypto": (38, socket.SOCK_SEQPACKET, 0),
    "express": (44, socket.SOCK_RAW, 0),
    "tipc": (30, socket.SOCK_SEQPACKET, 0),
    "key": (15, socket.SOCK_RAW, 2),
}
for name, kind in kinds.items():
    trying(name, lambda kind=kind: socket.socket(*kind))
trying("a pair of tipc sockets", lambda: socket.socketpair(30, socket.SOCK_SEQPACKET))

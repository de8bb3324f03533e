"""Opens TCP connections: to this machine, to others, of both internet families, and listens."""

import socket


def listen():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        return server.getsockname()


for address in ("127.0.0.1", "localhost", "192.0.2.1", "169.254.169.254", "10.0.0.1"):
    for port in (KNOWN["tcp_port"], 80):
        trying(f"{address}:{port}", lambda a=address, p=port: socket.create_connection((a, p), 1))
trying("v6", lambda: socket.socket(socket.AF_INET6).connect(("::1", KNOWN["tcp_port"])) or "connected")
trying("listen", listen)
trying("multipath", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))

"""Sends datagrams: to this machine, to a name server, to everybody."""

import socket


def send(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        return client.sendto(b"secret", address)


for address in (("127.0.0.1", KNOWN["udp_port"]), ("8.8.8.8", 53), ("255.255.255.255", 9), ("224.0.0.1", 9)):
    trying(str(address), lambda address=address: send(address))

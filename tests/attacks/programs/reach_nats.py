"""Talks to the server that holds the event log, whose address and credentials it was given."""

import json
import os
import socket


def connect():
    client = socket.create_connection(("127.0.0.1", KNOWN["nats_port"]), 2)
    client.recv(4096)
    said = json.dumps({"user": KNOWN["nats_user"], "pass": KNOWN["nats_password"], "verbose": True})
    client.sendall(f"CONNECT {said}\r\nPING\r\n".encode())
    return client.recv(4096)


trying("connect", connect)
trying("its store", lambda: os.listdir(KNOWN["nats_store"]))
trying("its secrets", lambda: os.listdir(os.path.dirname(KNOWN["nats_store"])))

"""Asks the kernel about network and devices through netlink."""

import socket

for protocol in (0, 4, 9, 12, 15, 16):
    trying(f"netlink {protocol}", lambda protocol=protocol: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol))
trying("interfaces", socket.if_nameindex)

"""The keeper of the embedded nats-server: a small process of its own, started as a folder by `gome.kernel.server`.

`__main__.py` is that process; `finding.py` is what it and its users agree on: the address file, how a server is
recognised and what its log says. Both import the standard library only, and little of it.
"""

"""The headless service: runs that others submit are queued, shared fairly, driven, and handed over when a service goes.

Any number of `gome serve` processes share one event log. What is submitted is a record in a stream of its own
(`submissions`), from which they claim in turns of tenants (`fair`, `claims`); whoever holds a claim drives the run as
`gome run` would (`service`), and a claim that is not renewed goes to another one, which resumes the run from its log.
`operations` is what clients may ask for, offered over NATS micro (`micro`) and over HTTP (`http`, with gome[serve]);
`tenants` says who may. This is a package of the kernel and no plugin: it starts runs, holds leases and reads the log,
which the public part of the kernel keeps from plugins, and no run ever depends on it.
"""

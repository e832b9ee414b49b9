"""pyzmq and msgpack, or an error that says how to get them."""

from __future__ import annotations

from hardware.errors import MissingExtraError

try:
    import msgpack
    import zmq
except ImportError as error:
    raise MissingExtraError("pyzmq and msgpack", "remote", "an actor and a learner as two processes") from error

__all__ = ["msgpack", "zmq"]

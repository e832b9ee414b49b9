"""The learner's end of the wire: one port, known keys only, and whatever comes is checked before it is used."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from hardware.errors import AddressInUseError, ConfigError, ProtocolError
from robostack.remote.backend import zmq
from robostack.remote.keys import LearnerKeys, learner_keys
from robostack.remote.protocol import MESSAGE_MAX, pack, unpack

PING_MS, PING_LIMIT_MS = 1000, 5000
"""ZeroMQ's own heartbeat, which notices a cable that was pulled."""
QUEUE = 64
"""Messages that wait for one actor; the rest is dropped, and sent again when asked for."""


class Message(NamedTuple):
    """A message from an actor."""

    peer: bytes
    """Its connection."""
    robot: str
    """Name of the key that it showed."""
    kind: str
    """See `protocol.MESSAGES`."""
    values: dict[str, Any]
    """As the protocol says."""


class LearnerPort:
    """A socket that only robots with known keys can connect to; there is no way without keys.

    Args:
        host: address to listen on; loopback if nothing else is wanted.
        port: TCP port; 0 for any.
        keys: folder of keys.

    Raises:
        ConfigError: the keys cannot be used, or the host is none of this machine's addresses.
        AddressInUseError: the port is taken.
        MissingExtraError: pyzmq or msgpack is not installed.
    """

    def __init__(self, host: str, port: int, keys: Path) -> None:
        from zmq.auth.thread import ThreadAuthenticator

        held = learner_keys(keys)
        self._names = held.robots
        self.malformed = 0
        """Messages that were refused because they are not of the protocol."""
        self._context = zmq.Context()
        self._guard = ThreadAuthenticator(self._context)
        self._guard.start()
        self._guard.configure_curve_callback("*", _Known(held))
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.curve_server = True
        self._socket.curve_publickey, self._socket.curve_secretkey = held.own.public, held.own.secret
        self._socket.linger, self._socket.maxmsgsize = 200, MESSAGE_MAX
        self._socket.sndhwm = self._socket.rcvhwm = QUEUE
        self._socket.heartbeat_ivl, self._socket.heartbeat_timeout = PING_MS, PING_LIMIT_MS
        self._socket.router_mandatory = False
        try:
            self._socket.bind(f"tcp://{host}:{port or '*'}")
        except zmq.ZMQError as error:
            self.close()
            if error.errno == zmq.EADDRINUSE:
                raise AddressInUseError("the learner", f"{host}:{port}") from error
            raise ConfigError(f"the learner cannot listen on {host}:{port}: {error.strerror}") from error
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT).removeprefix("tcp://")
        """Where it listens, "host:port"."""

    def __enter__(self) -> LearnerPort:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def receive(self, wait_s: float) -> Message | None:
        """The next message, if one comes within `wait_s` [s]; what is malformed is answered with the reason."""
        if not self._socket.poll(max(0, int(1e3 * wait_s))):
            return None
        frames = self._socket.recv_multipart(copy=False)
        peer = frames[0].bytes
        try:
            if len(frames) != 2:
                raise ProtocolError(f"a message of {len(frames) - 1} parts; one is taken")
            robot = self._names.get(_z85(frames[1]), "")
            kind, values = unpack(frames[1].bytes)
        except ProtocolError as error:
            self.refuse(peer, f"malformed: {error}")
            return None
        return Message(peer, robot, kind, values)

    def refuse(self, peer: bytes, reason: str) -> None:
        """Count a message that cannot be used, and say why."""
        self.malformed += 1
        self.send(peer, "refusal", reason=reason)

    def send(self, peer: bytes, kind: str, **values: Any) -> None:
        """Send to one actor; an actor that is gone, or does not read, misses it."""
        try:
            self._socket.send_multipart([peer, pack(kind, **values)], zmq.NOBLOCK)
        except zmq.Again:
            return

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
        self._guard.stop()
        self._context.term()


class _Known:
    """Which public keys may connect; asked by the authenticator's thread."""

    def __init__(self, keys: LearnerKeys) -> None:
        self._robots = set(keys.robots)

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether the key, in Z85, is known."""
        return key in self._robots


def _z85(frame: Any) -> bytes:
    """The public key that a message's connection was made with: the authenticator's user id, in Z85."""
    found = frame.get("User-Id")
    return found if isinstance(found, bytes) else str(found).encode()

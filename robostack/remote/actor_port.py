"""The actor's end of the wire: connects by itself, again and again, and can say why it is not connected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hardware.clock import Clock
from hardware.errors import ConfigError, ProtocolError
from robostack.remote.backend import zmq
from robostack.remote.keys import robot_keys
from robostack.remote.learner_port import PING_LIMIT_MS, PING_MS
from robostack.remote.protocol import MESSAGE_MAX, pack, unpack

QUEUE = 16
"""Messages that may wait in each direction."""
RENEW_S = 5.0
"""A socket that has heard nothing for this long is replaced [s]; ZeroMQ does not try again once a key was refused."""
BROKEN_HANDSHAKES = 3
"""In a row, after which it is not the network that breaks them."""


class ActorPort:
    """See the module. All from one thread.

    Args:
        address: of the learner, "host:port".
        keys: folder of keys.
        clock: measures silence.

    Raises:
        ConfigError: the keys cannot be used, or the address is none.
        MissingExtraError: pyzmq or msgpack is not installed.
    """

    def __init__(self, address: str, keys: Path, clock: Clock) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ConfigError(f"address '{address}' of the learner: write host:port, such as 192.168.1.20:5488")
        self.address, self._keys, self._clock = address, robot_keys(keys), clock
        self.trouble = ""
        """Why there is no connection; "" if there is one, or nothing is known yet."""
        self.key_refused = False
        """Whether the two ends do not know each other's keys."""
        self._broken = 0
        self._context = zmq.Context()
        self._open()

    def _open(self) -> None:
        socket = self._context.socket(zmq.DEALER)
        socket.curve_serverkey = self._keys.learner
        socket.curve_publickey, socket.curve_secretkey = self._keys.own.public, self._keys.own.secret
        socket.linger, socket.immediate, socket.maxmsgsize = 0, True, MESSAGE_MAX
        socket.sndhwm = socket.rcvhwm = QUEUE
        socket.heartbeat_ivl, socket.heartbeat_timeout = PING_MS, PING_LIMIT_MS
        socket.reconnect_ivl, socket.reconnect_ivl_max = 100, 1000
        self._events = socket.get_monitor_socket()
        self._socket, self._renew_s = socket, self._clock.now() + RENEW_S
        try:
            socket.connect(f"tcp://{self.address}")
        except zmq.ZMQError as error:
            raise ConfigError(f"address '{self.address}' of the learner: {error.strerror}") from error

    def receive(self, wait_s: float) -> Iterator[tuple[str, dict[str, Any]]]:
        """What has come, waiting at most `wait_s` [s] for the first.

        Raises:
            ProtocolError: the learner sent something that is not of the protocol.
        """
        self._socket.poll(int(1e3 * wait_s))
        self._listen()
        while self._socket.poll(0):
            frames = self._socket.recv_multipart()
            if len(frames) != 1:
                raise ProtocolError(f"the learner sent a message of {len(frames)} parts")
            self.trouble, self._renew_s = "", self._clock.now() + RENEW_S
            yield unpack(frames[0])
        if self._clock.now() > self._renew_s:
            self._close_socket()
            self._open()

    def send(self, kind: str, **values: Any) -> bool:
        """Send; whether there is a connection that took it."""
        try:
            self._socket.send(pack(kind, **values), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        """Let go."""
        self._close_socket()
        self._context.term()

    def _close_socket(self) -> None:
        self._socket.disable_monitor()
        self._events.close()
        self._socket.close()

    def _listen(self) -> None:
        """Learn from ZeroMQ's monitor what happens to the connection."""
        from zmq.utils.monitor import recv_monitor_message

        while self._events.poll(0):
            event = recv_monitor_message(self._events)["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.trouble, self.key_refused, self._broken = "", False, 0
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self.key_refused = True
                self.trouble = (
                    f"the learner at {self.address} does not know this robot's key; "
                    "put its .public file into the folder learner/robots there, and start the learner again"
                )
            elif event in (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL):
                self._broken += 1
                self.key_refused = self.key_refused or self._broken >= BROKEN_HANDSHAKES
                self.trouble = (
                    f"what listens at {self.address} is not the learner whose key is in learner.public; "
                    "copy the robot's folder of keys from the learner's machine again"
                )
            elif event in (zmq.EVENT_CONNECT_RETRIED, zmq.EVENT_CLOSED) and not self.key_refused and not self._broken:
                self.trouble = f"nothing answers at {self.address}; is the learner running (robostack learn TASK)?"
            elif event == zmq.EVENT_DISCONNECTED and not self.trouble:
                self.trouble = f"the connection to {self.address} broke"

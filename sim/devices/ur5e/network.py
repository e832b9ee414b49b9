"""Non-blocking TCP servers that one thread serves between two controller cycles."""

from __future__ import annotations

import errno
import itertools
import select
import socket
from collections import deque
from collections.abc import Iterable, Iterator

from hardware.errors import AddressInUseError

_CHUNK = 65536
_BACKLOG_MAX = 1 << 20
"""Unsent bytes after which a client that does not read is dropped."""


class Connection:
    """One client.

    Args:
        connected: its non-blocking socket.
    """

    _numbers = itertools.count(1)

    def __init__(self, connected: socket.socket) -> None:
        self.number = next(self._numbers)
        self.socket = connected
        self.closed = False
        self.received = bytearray()
        self._unsent = bytearray()

    def send(self, data: bytes) -> None:
        """Send what the socket takes now, keep the rest for later. A client that never reads is dropped."""
        if self.closed:
            return
        self._unsent += data
        try:
            sent = self.socket.send(self._unsent)
            del self._unsent[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if len(self._unsent) > _BACKLOG_MAX:
            self.close()

    def receive(self) -> bool:
        """Take what has arrived into `received`; False when the client has gone."""
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        self.received += data
        return True

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self.closed = True
        self.socket.close()


class Server:
    """One listening port.

    Args:
        name: for messages.
        host: address to listen on.
        port: port to listen on.
    """

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name, self.host, self.port = name, host, port
        self.clients: dict[int, Connection] = {}
        self.muted = False
        self.delay_s = 0.0
        self._now_s = 0.0
        self._delayed: deque[tuple[float, Connection, bytes]] = deque()
        self._listener: socket.socket | None = None

    def listen(self) -> None:
        """Open the port, if it is not open.

        Raises:
            AddressInUseError: it is taken.
        """
        if self._listener is not None:
            return
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
            listener.listen(8)
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRINUSE:
                raise AddressInUseError(self.name, f"{self.host}:{self.port}") from error
            raise
        listener.setblocking(False)
        self._listener = listener

    def close(self) -> None:
        """Close the port and every client. Idempotent."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.drop_clients()

    def drop_clients(self) -> None:
        """Close every client."""
        for client in list(self.clients.values()):
            client.close()
            self.lost(client)
        self.clients.clear()

    def descriptors(self) -> Iterator[int]:
        """File descriptors of the open sockets."""
        if self._listener is not None:
            yield self._listener.fileno()
        yield from (client.socket.fileno() for client in self.clients.values() if not client.closed)

    def poll(self, ready: set[int]) -> None:
        """Accept and read where a descriptor of `ready` says so."""
        if self._listener is not None and self._listener.fileno() in ready:
            self._accept()
        for client in list(self.clients.values()):
            if not client.closed and client.socket.fileno() in ready and client.receive():
                self.data(client)

    def send(self, client: Connection, data: bytes) -> None:
        """Send `data`, unless the server is `muted`, and not before `delay_s` has passed."""
        if self.muted:
            return
        if self.delay_s > 0.0 or self._delayed:
            self._delayed.append((self._now_s + self.delay_s, client, data))
        else:
            client.send(data)

    def flush(self, now_s: float) -> None:
        """Send what is due at `now_s` [s] and forget clients that have gone; call once per cycle."""
        self._now_s = now_s
        while self._delayed and self._delayed[0][0] <= now_s:
            _, client, data = self._delayed.popleft()
            client.send(data)
        for client in [client for client in self.clients.values() if client.closed]:
            del self.clients[client.number]
            self.lost(client)

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            connected, _ = self._listener.accept()
        except OSError:
            return
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Connection(connected)
        self.clients[client.number] = client
        self.accepted(client)

    # what the protocols override

    def accepted(self, client: Connection) -> None:
        """A client has connected."""

    def data(self, client: Connection) -> None:
        """Bytes have been added to `client.received`."""

    def lost(self, client: Connection) -> None:
        """A client has gone."""


def readable(servers: Iterable[Server]) -> set[int]:
    """File descriptors of `servers` on which something waits; does not wait itself."""
    poller = select.poll()
    for server in servers:
        for descriptor in server.descriptors():
            poller.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poller.poll(0)}

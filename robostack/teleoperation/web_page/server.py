"""What is served: the page with its script and style, and one WebSocket per browser.

Only this file and `connection.py` import aiohttp; they are imported when the page is opened.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import WSCloseCode, web

from hardware.clock import Clock
from robostack.teleoperation.web_page.access import Access
from robostack.teleoperation.web_page.config import WebConfig
from robostack.teleoperation.web_page.connection import Connection
from robostack.teleoperation.web_page.frames import FrameBoard
from robostack.teleoperation.web_page.messages import MESSAGE_BYTES_MAX
from robostack.teleoperation.web_page.session import Session

HEARTBEAT_S = 4.0
"""A browser that does not answer a ping within half of this is gone [s]."""
SHUTDOWN_S = 1.0
"""Time for browsers to say goodbye when the page closes [s]."""
FOLDER = Path(__file__).parent
FILES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
"""Address -> file and its type. Nothing else on disk can be reached."""


class PageServer:
    """The web application.

    Args:
        config: limits, and what the page is told.
        clock: monotonic time.
        session: what the browsers share with the reader.
        frames: the pictures to show.
        access: who may talk to the page.
    """

    def __init__(self, config: WebConfig, clock: Clock, session: Session, frames: FrameBoard, access: Access) -> None:
        self._config, self._clock, self._session, self._frames, self._access = config, clock, session, frames, access
        self._connections: set[Connection] = set()
        self._status, self._status_s = "{}", clock.now()
        self._closed = asyncio.Event()
        self._files = {path: ((FOLDER / name).read_bytes(), kind) for path, (name, kind) in FILES.items()}

    async def serve(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Serve on `listener`, encrypted if `tls` is given, until `close`."""
        application = web.Application(middlewares=[self._guard], client_max_size=MESSAGE_BYTES_MAX)
        application.on_response_prepare.append(self._add_headers)
        application.on_shutdown.append(self._close_connections)
        for path in FILES:
            application.router.add_get(path, self._file)
        application.router.add_get("/socket", self._socket)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.SockSite(runner, listener, ssl_context=tls).start()
            await self._closed.wait()
        finally:
            await runner.cleanup()

    def close(self) -> None:
        """End `serve`. Called in the server's thread, like the two below."""
        self._closed.set()

    def wake(self) -> None:
        """There are new pictures."""
        for connection in self._connections:
            connection.wake()

    def show_status(self, status: str) -> None:
        """Send `status`, JSON text, with the next states."""
        self._status, self._status_s = status, self._clock.now()

    def _newest_status(self) -> tuple[str, float]:
        return self._status, self._clock.now() - self._status_s

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Turn away who may not talk to the page, before anything else is looked at."""
        cookie = request.cookies.get(self._access.cookie, "")
        token = request.query.get("token", cookie) if request.path == "/" else cookie
        refusal = self._access.refuse(request.headers, token, websocket=request.path == "/socket")
        if refusal is not None:
            return web.Response(status=refusal.status, text=refusal.reason + "\n")
        return await handler(request)

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self._access.headers(request.headers.get("Host", "")))

    async def _file(self, request: web.Request) -> web.Response:
        body, kind = self._files[request.path]
        response = web.Response(body=body, content_type=kind, charset="utf-8")
        if request.path == "/":
            response.set_cookie(
                self._access.cookie,
                self._access.token,
                httponly=True,
                samesite="Strict",
                secure=self._access.scheme == "https",
            )
        return response

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if len(self._connections) >= self._config.clients_max:
            return web.Response(status=503, text="Too many browsers are connected; close one.\n")
        websocket = web.WebSocketResponse(max_msg_size=MESSAGE_BYTES_MAX, heartbeat=HEARTBEAT_S, compress=False)
        await websocket.prepare(request)
        connection = Connection(websocket, self._config, self._clock, self._session, self._frames, self._newest_status)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
        return websocket

    async def _close_connections(self, _application: web.Application) -> None:
        await asyncio.gather(*(one.close(WSCloseCode.GOING_AWAY, "robostack has ended") for one in self._connections))

"""The WebSocket of one browser: its messages in, states and pictures out."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable

from aiohttp import WSCloseCode, WSMsgType, web

from hardware.clock import Clock
from hardware.errors import ProtocolError
from robostack.teleoperation.web_page.config import WebConfig
from robostack.teleoperation.web_page.frames import FrameBoard
from robostack.teleoperation.web_page.messages import Control, Event, Input, Stop, parse
from robostack.teleoperation.web_page.rate import RateLimit
from robostack.teleoperation.web_page.session import Session

STATE_PERIOD_S = 0.05
"""Time between two states [s]."""
MESSAGES_HZ = 120.0
"""Messages taken from one browser per second; the page sends 30."""
MESSAGES_BURST = 240
"""Messages taken at once: what queues up while a computer stands still for seconds."""
FRAMES_ON_THE_WAY = 2
"""Pictures per camera sent ahead of the browser's receipt: more would only be older when they arrive."""
REASON_BYTES_MAX = 123
"""Longest reason in a close frame (RFC 6455, section 5.5.1) [B]."""


class Connection:
    """One browser.

    Args:
        socket: its WebSocket, open.
        config: what the page is told.
        clock: monotonic time.
        session: what the browsers share with the reader.
        frames: the pictures to show.
        status: gives the newest status, JSON text, and its age [s].
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        config: WebConfig,
        clock: Clock,
        session: Session,
        frames: FrameBoard,
        status: Callable[[], tuple[str, float]],
    ) -> None:
        self._socket, self._config, self._session, self._frames, self._status = socket, config, session, frames, status
        self._client = session.join()
        self._rate = RateLimit(MESSAGES_HZ, MESSAGES_BURST, clock)
        self._wake = asyncio.Event()
        self._sent: dict[int, int] = {}
        self._counts: dict[int, int] = {}
        self._frames_sent = 0

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    async def run(self) -> None:
        """Serve this browser until its connection ends."""
        sender = asyncio.create_task(self._send())
        try:
            await self._receive()
        finally:
            self._session.leave(self._client)
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sender

    async def close(self, code: int, reason: str) -> None:
        """End the connection and say why."""
        await self._socket.close(code=code, message=reason.encode("ascii", "replace")[:REASON_BYTES_MAX])

    async def _receive(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                await self.close(WSCloseCode.UNSUPPORTED_DATA, "only text is taken")
                return
            try:
                refused = self._take(message.data)
            except ProtocolError as error:
                await self.close(WSCloseCode.POLICY_VIOLATION, str(error))
                return
            if refused:
                await self._socket.send_str(json.dumps({"type": "refused", "reason": refused}))

    def _take(self, text: str) -> str:
        """Act on one message; returns why it was refused, or ""."""
        message = parse(text)
        if isinstance(message, Stop):
            self._session.stop()  # before the rate is looked at: a stop is never too much
        if not self._rate.allows():
            raise ProtocolError("too many messages")
        if isinstance(message, Input):
            self._session.accept(self._client, message)
        elif isinstance(message, Event):
            return self._session.event(self._client, message.event)
        elif isinstance(message, Control):
            if message.take:
                return self._session.take(self._client)
            self._session.release(self._client)
        self.wake()
        return ""

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):  # the receiver notices too, and ends this connection
            await self._socket.send_str(self._welcome())
            due_s = loop.time()
            while True:
                if loop.time() >= due_s:
                    await self._socket.send_str(self._state())
                    due_s = loop.time() + STATE_PERIOD_S
                await self._send_frames()
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), max(0.0, due_s - loop.time()))

    def _welcome(self) -> str:
        config = self._config
        return json.dumps(
            {
                "type": "welcome",
                "robot": config.robot,
                "linear_speed_m_s": config.linear_speed_m_s,
                "angular_speed_rad_s": config.angular_speed_rad_s,
                "silence_s": config.silence_s,
            }
        )

    def _state(self) -> str:
        status, age_s = self._status()
        view = {"type": "state", "cameras": self._frames.cameras, "status_age_s": age_s}
        return f'{json.dumps({**view, **self._session.view(self._client)})[:-1]}, "status": {status}}}'

    async def _send_frames(self) -> None:
        # The camera that got the least goes first, so that a slow connection starves none.
        for frame in sorted(self._frames.newer_than(self._sent), key=lambda one: self._counts.get(one.camera, 0)):
            on_the_way = self._frames_sent - self._client.frames_seen
            if on_the_way >= FRAMES_ON_THE_WAY * len(self._frames.cameras):
                return
            self._sent[frame.camera] = frame.number
            self._counts[frame.camera] = self._counts.get(frame.camera, 0) + 1
            self._frames_sent += 1
            await self._socket.send_bytes(frame.message)

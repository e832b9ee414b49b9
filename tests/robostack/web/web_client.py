"""A browser's side of the protocol, without a browser."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

LIMIT_S = 20.0
"""Longest wait for something that happens within milliseconds on an idle machine."""


async def until(condition, what="the condition"):
    """Wait for `condition()`; returns what it returned."""
    end_s = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < end_s, f"waited in vain for {what}"
        await asyncio.sleep(0.005)
    return found


class WebClient:
    """One open WebSocket; keeps the newest of everything it is told."""

    def __init__(self, socket):
        self.socket = socket
        self.welcome = self.state = None
        self.refused, self.frames = [], []
        self.acknowledged, self.sequence = 0, 0
        self._reader = asyncio.create_task(self._read())

    async def _read(self):
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.frames.append(message.data)
                continue
            data = json.loads(message.data)
            if data["type"] == "refused":
                self.refused.append(data["reason"])
            else:
                setattr(self, data["type"], data)

    async def input(self, enabled=True, linear=(0.0, 0.0, 0.0), **changes):
        await until(lambda: self.state, "the first state")
        self.sequence += 1
        fields = {
            "type": "input",
            "sequence": self.sequence,
            "client_time_s": time.monotonic(),
            "seen_s": self.state["server_time_s"],
            "frames": self.acknowledged,
            "enabled": enabled,
            "linear": list(linear),
            "angular": [0.0, 0.0, 0.0],
            "gripper": None,
        }
        await self.send(**{**fields, **changes})

    async def send(self, **fields):
        await self.socket.send_str(json.dumps(fields))

    async def take_control(self):
        await self.send(type="control", take=True)
        await until(lambda: (self.state or {}).get("control") == "you", "control")

    async def hold(self, device, linear):
        """Send held inputs like the page does until the device reports them; returns the command."""
        end_s = time.monotonic() + LIMIT_S
        await self.input(enabled=False)
        while not (command := device.read()).enabled:
            assert time.monotonic() < end_s, "the held control never counted"
            await self.input(linear=linear)
            await asyncio.sleep(0.02)
            if "let go" in self.state["why_not"]:  # this machine stood still for a second
                await self.input(enabled=False)
        return command

    async def closed(self):
        """Code and reason with which the server ended the connection."""
        await asyncio.wait_for(self._reader, LIMIT_S)
        return self.socket.close_code


def base_of(device):
    parts = urlsplit(device.url)
    return f"{parts.scheme}://{parts.netloc}"


def token_of(device):
    return urlsplit(device.url).query.removeprefix("token=")


def headers_of(device, **changes):
    """What the page's own browser sends; `changes` replace or, with None, leave out."""
    base = base_of(device)
    cookie = f"robostack_{urlsplit(base).port}={token_of(device)}"
    headers = {"Origin": base, "Cookie": cookie, **changes}
    return {name: value for name, value in headers.items() if value is not None}


@asynccontextmanager
async def web_client(device, **options):
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        http.ws_connect(f"{base_of(device)}/socket", headers=headers_of(device), **options) as socket,
    ):
        yield WebClient(socket)


async def fetch(device, path, method="GET", ssl=True, **changes):
    """Status, headers and text of one request."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        url, headers = f"{base_of(device)}{path}", headers_of(device, **changes)
        async with http.request(method, url, headers=headers, ssl=ssl, allow_redirects=False) as response:
            return response.status, response.headers, await response.text()

"""The system's Chromium, driven by playwright, and a wire in front of a server that can be cut or held up."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator

import pytest

EXECUTABLE = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LIMIT_S = 30.0
"""Longest wait for something that happens within milliseconds on an idle machine."""


@contextlib.contextmanager
def chromium() -> Iterator[object]:
    """A headless browser; skips the test where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if EXECUTABLE is None:
        pytest.skip("needs a Chromium of the system's packages: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=["--no-sandbox"])
        yield browser
        browser.close()


def until(page, condition, what="the condition", limit_s=LIMIT_S):
    """Wait for `condition()` while the browser, if there is a page, goes on; returns what it returned."""
    end_s = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < end_s, f"waited in vain for {what}"
        if page is None:
            time.sleep(0.01)
        else:
            page.wait_for_timeout(10)
    return found


def center(page, selector):
    """Middle and half sizes of an element [px]."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"] / 2, box["height"] / 2


class Wire:
    """Forwards connections to `target`, until it is held up (silence) or cut (both ends see it).

    Args:
        host: address to listen on, with the port of the target.
        target: (address, port) of the server.
    """

    def __init__(self, host: str, target: tuple[str, int]) -> None:
        self._target = target
        self._flows = threading.Event()
        self._flows.set()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server((host, target[1]))
        threading.Thread(target=self._accept, daemon=True).start()

    def hold_up(self) -> None:
        """Nothing passes any more, and nobody is told."""
        self._flows.clear()

    def cut(self) -> None:
        """Close every connection."""
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._flows.set()

    def close(self) -> None:
        """End it."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.close()

"""What a terminal sends, as names of keys."""

from __future__ import annotations

ESCAPE_WAIT_S = 0.05
"""An escape byte that nothing follows for this long is the Esc key [s]; over SSH an arrow key may come in two parts."""

_FINAL = {"A": "up", "B": "down", "C": "right", "D": "left"}
_CONTROL = {"\t": "tab", "\r": "enter", "\n": "enter", " ": "space", "\x7f": "backspace", "\x08": "backspace"}


class KeyDecoder:
    """Cuts the stream of bytes into keys: printable characters as they are (small letters), "left", "esc", "space" ...

    Sequences of other keys (F1, Home, with modifiers) are read to their end and dropped.
    """

    def __init__(self) -> None:
        self._pending = ""
        self._heard_s = 0.0

    def feed(self, data: bytes, now_s: float) -> list[str]:
        """Keys completed by `data` (b"" is fine) at `now_s` [s]."""
        if data:
            self._pending += data.decode("latin-1")
            self._heard_s = now_s
        keys: list[str] = []
        while self._pending:
            key, used = _first_key(self._pending)
            if not used:
                if now_s - self._heard_s < ESCAPE_WAIT_S:
                    break
                key, used = ("esc", 1) if self._pending == "\x1b" else ("", len(self._pending))
            self._pending = self._pending[used:]
            if key:
                keys.append(key)
        return keys


def _first_key(text: str) -> tuple[str, int]:
    """The first key of `text` ("" for one without a name) and its length; 0 while it is incomplete."""
    if text[0] != "\x1b":
        named = _CONTROL.get(text[0])
        if named is not None:
            return named, 1
        return (text[0].lower() if text[0].isprintable() else ""), 1
    if len(text) == 1:
        return "", 0
    if text[1] == "\x1b":
        return "esc", 1
    if text[1] not in "[O":
        return "", 2  # Alt with a key
    for index in range(2, len(text)):
        if "@" <= text[index] <= "~":  # the final byte of a control sequence (ECMA-48, 5.4)
            return (_FINAL.get(text[index], "") if index == 2 else ""), index + 1
    return "", 0

"""Who may command a robot: the first sender, until it has been silent for a while."""

from __future__ import annotations


class CommandClaim:
    """Two publishers on one command topic would interleave their commands, and nothing in ROS says so.

    Args:
        silence_s: an owner silent for this long has given up its claim [s].
    """

    def __init__(self, silence_s: float) -> None:
        self.silence_s = silence_s
        self.owner = ""
        self.refused: dict[str, int] = {}
        self._heard_s = 0.0

    def accept(self, sender: str, now_s: float) -> bool:
        """Whether a command of `sender`, received at `now_s` [s], may reach the robot; counts those that may not."""
        if self.owner and sender != self.owner and now_s - self._heard_s <= self.silence_s:
            self.refused[sender] = self.refused.get(sender, 0) + 1
            return False
        self.owner, self._heard_s = sender, now_s
        return True

    def release(self) -> None:
        """Forget the owner."""
        self.owner = ""

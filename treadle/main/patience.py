"""Tells a person at a terminal that something is coming, when a command has said nothing for a while."""

import os
import sys
import threading

_AFTER_SECONDS = 0.7
_TEXT = "One moment…"
_GONE = "\r" + " " * len(_TEXT) + "\r"


class Patience:
    """A line on standard error that appears once the command has been silent for a while, and goes when it speaks."""

    def __init__(self, after: float = _AFTER_SECONDS) -> None:
        self._lock = threading.Lock()
        self._shown = False
        self._over = False
        self._timer = threading.Timer(after, self._show)
        self._timer.daemon = True

    def begin(self) -> None:
        """From now on silence counts."""
        self._timer.start()

    def _show(self) -> None:
        with self._lock:
            if not self._over:
                self._shown = True
                sys.stderr.write(_TEXT)
                sys.stderr.flush()

    def end(self) -> None:
        """The command speaks: the line goes, if it is there."""
        self._timer.cancel()
        with self._lock:
            if self._shown and not self._over:
                sys.stderr.write(_GONE)
                sys.stderr.flush()
            self._over = True


_current: list[Patience] = []


def be_patient() -> None:
    """From now on silence counts, if somebody looks at a terminal that can take a line back."""
    spoken()
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        _current.append(Patience())
        _current[0].begin()


def spoken() -> None:
    """The command says something now."""
    while _current:
        _current.pop().end()

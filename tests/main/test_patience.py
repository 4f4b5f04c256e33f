"""The line that says that something is coming."""

import threading

import pytest

from treadle.main.patience import Patience


def test_it_comes_when_nothing_is_said_and_goes_when_something_is(capsys: pytest.CaptureFixture[str]) -> None:
    patience = Patience(after=0)
    patience.begin()
    _wait_for_timers()
    assert capsys.readouterr().err == "One moment…"
    patience.end()
    gone = capsys.readouterr().err
    assert gone.startswith("\r") and gone.endswith("\r") and not gone.strip()


def test_who_speaks_at_once_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    patience = Patience(after=3600)
    patience.begin()
    patience.end()
    _wait_for_timers()
    assert capsys.readouterr().err == ""


def _wait_for_timers() -> None:
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.base.config import Settings
from treadle.base.logging import JsonFormatter, TextFormatter, configure_logging, mask_secret


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str, **extra: object) -> logging.LogRecord:
    found = logging.makeLogRecord({"msg": message, "name": "treadle.test", "levelname": "INFO", "levelno": 20})
    vars(found).update(extra)
    return found


def test_json_has_time_level_logger_message_and_extra_fields(settings: Settings) -> None:
    stream = io.StringIO()
    configure_logging(settings, stream)
    logging.getLogger("treadle.test").info("Run %s ended", 7, extra={"run": 7, "nodes": ["a"]})
    logging.getLogger("treadle.test").debug("not shown")
    (line,) = stream.getvalue().splitlines()
    fields = json.loads(line)
    assert fields.pop("time").endswith("Z")
    assert fields == {"level": "INFO", "logger": "treadle.test", "message": "Run 7 ended", "run": 7, "nodes": ["a"]}


def test_an_exception_is_part_of_its_line(settings: Settings) -> None:
    stream = io.StringIO()
    configure_logging(settings, stream)
    try:
        raise RuntimeError("broken\nhere")
    except RuntimeError:
        logging.getLogger("treadle.test").exception("It failed")
    (line,) = stream.getvalue().splitlines()
    assert "RuntimeError: broken" in json.loads(line)["exception"]


@given(st.text(), st.text())
def test_whatever_is_logged_stays_on_one_line_without_control_characters(message: str, value: str) -> None:
    message = message.encode(errors="replace").decode()
    value = value.encode(errors="replace").decode()
    for formatter in (JsonFormatter(), TextFormatter(colour=False)):
        line = formatter.format(record(message, pin=value))
        assert len(line.splitlines()) == 1
        assert line.isprintable() or not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in line)
    assert json.loads(JsonFormatter().format(record(message, pin=value)))["pin"] == value


def test_lone_surrogates_and_strange_objects_do_not_break_a_log() -> None:
    fields = json.loads(JsonFormatter().format(record("\ud800", strange=object(), keys={1: object()})))
    assert "ud800" in fields["message"]
    assert "object object" in fields["strange"]


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter(colour=True)])
def test_secrets_are_masked_wherever_they_stand(formatter: logging.Formatter) -> None:
    secret = 'hunter2-"quoted"\\\x1bü'
    mask_secret(secret)
    try:
        raise RuntimeError(f"refused {secret}")
    except RuntimeError as error:
        found = record(f"sent {secret}", header={"Authorization": f"Bearer {secret}"})
        found.exc_info = (RuntimeError, error, error.__traceback__)
    line = formatter.format(found)
    assert "hunter2" not in line
    assert line.count("***") >= 3


def test_short_values_are_not_taken_for_secrets() -> None:
    mask_secret("a")
    assert "a cat" in TextFormatter(colour=False).format(record("a cat"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_text_and_no_colour_when_asked(
    settings: Settings, no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    configure_logging(settings, stream)
    logging.getLogger("treadle.test").warning("Careful")
    assert "treadle.test: Careful" in stream.getvalue()
    assert ("\x1b[33m" in stream.getvalue()) == coloured


def test_clients_do_not_log_the_addresses_they_call(settings: Settings) -> None:
    stream = io.StringIO()
    configure_logging(settings, stream)
    logging.getLogger("httpx").info("GET https://example.org/?key=s3cret")
    assert stream.getvalue() == ""

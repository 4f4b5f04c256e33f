"""One server for a data folder: its note, its token, its port."""

import json
import os
import socket
import stat
from pathlib import Path

import pytest

from treadle.base.errors import ConfigurationError, Conflict
from treadle.engine.worker import process_name
from treadle.main.instance import check_port, running_instance, start_token, stop_instance, the_only_server

PLACE = process_name().rsplit(":", 2)[0]


def test_a_second_server_on_the_same_data_is_refused_with_the_address_of_the_first(tmp_path: Path) -> None:
    with the_only_server(tmp_path, "http://127.0.0.1:1234"):
        running = running_instance(tmp_path)
        assert running is not None
        assert running.pid == os.getpid()
        with (
            pytest.raises(Conflict, match=r"already running at http://127\.0\.0\.1:1234"),
            the_only_server(tmp_path, "x"),
        ):
            pass
    assert running_instance(tmp_path) is None
    with the_only_server(tmp_path, "again"):
        pass


def test_without_a_server_nothing_is_stopped(tmp_path: Path) -> None:
    assert stop_instance(tmp_path, 1.0) is False


@pytest.mark.parametrize("process", ["host:1:1", f"{PLACE}:{os.getpid()}:12345", "x"], ids=["far", "near", "bad"])
def test_a_note_of_a_process_that_is_gone_stops_nobody(tmp_path: Path, process: str) -> None:
    note = {"pid": os.getpid(), "process": process, "url": "x"}
    (tmp_path / "server.json").write_text(json.dumps(note))
    (tmp_path / "server.lock").touch()
    assert stop_instance(tmp_path, 1.0) is False


def test_a_reused_process_id_is_not_taken_for_the_server(tmp_path: Path) -> None:
    with the_only_server(tmp_path, "x"):
        note = json.loads((tmp_path / "server.json").read_text())
        note["process"] = f"{PLACE}:{os.getpid()}:1"
        (tmp_path / "server.json").write_text(json.dumps(note))
        assert running_instance(tmp_path) is None
        assert stop_instance(tmp_path, 1.0) is False


@pytest.mark.parametrize("content", [b"\xff\xfe\0" * 20, "ü".encode() * 40, b"two words" * 5, b"short", b""])
def test_a_broken_token_is_told_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(ConfigurationError, match="does not hold a token") as raised:
        start_token(tmp_path)
    assert "Remove" in raised.value.fix


@pytest.mark.parametrize("host", ["a" * 300, "x..y", "192.0.2.1"])
def test_an_address_that_this_machine_lacks_is_not_taken_for_a_port_in_use(host: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen") as raised:
        check_port(host, 18_000)
    assert "TREADLE_HOST" in raised.value.fix


def test_the_token_is_long_kept_and_for_its_owner_only(tmp_path: Path) -> None:
    token = start_token(tmp_path)
    assert len(token) >= 43
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert start_token(tmp_path) == token


def test_a_token_that_others_can_read_or_that_is_too_short_is_refused(tmp_path: Path) -> None:
    start_token(tmp_path)
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(ConfigurationError, match="other users"):
        start_token(tmp_path)
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "token").write_text("short")
    with pytest.raises(ConfigurationError, match="does not hold a token"):
        start_token(tmp_path)


def test_a_port_in_use_is_told_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port}") as caught:
            check_port("127.0.0.1", port)
    assert "--port" in caught.value.fix
    check_port("127.0.0.1", port)

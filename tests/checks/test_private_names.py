"""The check for private names finds registry hosts, machine paths and uv.lock."""

import subprocess
from pathlib import Path

import pytest

from checks import private_names


def test_hosts_paths_and_uv_lock_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("see https://packages.example.test/simple and /somewhere/odd/file")
    (tmp_path / "b.txt").write_text("nothing")
    (tmp_path / "uv.lock").write_text("")
    files = [tmp_path / name for name in ("a.txt", "b.txt", "uv.lock", "gone.txt")]
    assert private_names.problems(tmp_path, files, ["packages.example.test"], "/somewhere/") == [
        "a.txt: names a package registry (packages.example.test)",
        "a.txt: names a path of this machine (/somewhere/)",
        "uv.lock: holds addresses of a registry; commit the exported requirements instead",
    ]
    assert private_names.problems(tmp_path, [tmp_path / "b.txt"], [], "") == []


def test_hosts_come_from_how_the_machine_is_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:key@mirror.example.test:8443/simple")
    monkeypatch.setenv("OTHER_URL", "https://other.example.test/")
    hosts = private_names.registry_hosts()
    assert "mirror.example.test" in hosts
    assert "other.example.test" not in hosts
    assert len(hosts) >= 3, "the hosts that pip itself comes with are looked for too"


def test_files_to_be_committed_are_looked_at_and_ignored_ones_are_not(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("ignored.txt\n")
    (tmp_path / "ignored.txt").write_text("x")
    (tmp_path / "new.txt").write_text("x")
    names = sorted(path.name for path in private_names.tracked_files(tmp_path))
    assert names == [".gitignore", "new.txt"]

"""What `make up` says on a machine that lacks something, and that the locks are complete."""

import ast
import os
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import install

ROOT = Path(__file__).resolve().parents[2]


def node_saying(folder: Path, version: str) -> str:
    node = folder / "node"
    node.write_text(f"#!/bin/sh\necho {version}\n")
    node.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("version", ["v20.19.0", "v22.1.0"])
def test_a_new_enough_node_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setenv("PATH", node_saying(tmp_path, version), prepend=os.pathsep)
    install.check_node()


@pytest.mark.parametrize(("version", "words"), [("v20.18.9", "v20.18.9 is too old"), ("nonsense", "was not found")])
def test_a_wrong_node_is_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, words: str
) -> None:
    monkeypatch.setenv("PATH", node_saying(tmp_path, version), prepend=os.pathsep)
    with pytest.raises(SystemExit, match=words) as caught:
        install.check_node()
    assert "install Node 20.19 or newer" in str(caught.value)


def test_a_missing_node_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="Node was not found"):
        install.check_node()


def test_an_old_python_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"Python 3\.9 .* is too old: install Python 3\.11 or newer"):
        install.check_python()


def test_a_python_without_venv_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "PYTHON", tmp_path / "none")
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        install.make_venv()


def test_nothing_is_installed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        (tmp_path / name).write_text(name)
    installed: list[str] = []
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(install, "make_venv", lambda: None)
    monkeypatch.setattr(install, "check_node", lambda: None)
    monkeypatch.setattr(install, "install", installed.append)
    monkeypatch.setattr(install, "compile_code", lambda *folders: None)
    install.main("requirements.lock")
    install.main("requirements.lock")
    assert installed == ["requirements.lock"]
    install.main("requirements-dev.lock")
    install.main("requirements.lock")
    assert installed == ["requirements.lock", "requirements-dev.lock"]
    (tmp_path / "requirements.lock").write_text("changed")
    install.main("requirements.lock")
    assert installed[2:] == ["requirements.lock"]


def test_bytecode_is_written_also_where_python_writes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(install, "PYTHON", Path(sys.executable))
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "template.py").write_text("class {{ name }}:\n")
    install.compile_code(tmp_path)
    assert [path.name for path in (tmp_path / "__pycache__").iterdir()] == [f"good.{sys.implementation.cache_tag}.pyc"]


def locked_versions(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    pinned = [line.split(" ")[0].split("==") for line in lines if "==" in line and not line.startswith(" ")]
    return {canonicalize_name(package): version for package, version in pinned}


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    development = [*project["dependency-groups"]["dev"], *project["dependency-groups"]["build"]]
    for lock, wanted in (
        ("requirements.lock", project["project"]["dependencies"]),
        ("requirements-dev.lock", [*project["project"]["dependencies"], *development]),
    ):
        locked = locked_versions(lock)
        for requirement in map(Requirement, wanted):
            version = locked.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement.name} is not in {lock}: run `make lock`"
            assert requirement.specifier.contains(version, prereleases=True), (
                f"{requirement} in {lock}: run `make lock`"
            )


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_k6_every_file_that_is_installed_has_its_hash_and_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) > 50
    assert [line for line in lines if "--hash=sha256:" not in line] == []
    assert "://" not in text


def test_the_script_can_be_read_by_an_old_python() -> None:
    ast.parse((ROOT / "scripts" / "install.py").read_text(), feature_version=(3, 6))

import re
from pathlib import Path

import pytest

from tests.conftest import isolated_settings
from treadle.base.config import load_settings, variable_names
from treadle.base.errors import ConfigurationError

ENV_DEFAULT = Path(__file__).resolve().parents[2] / ".env.default"


@pytest.fixture(autouse=True)
def _no_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolated_settings(home, monkeypatch)
    monkeypatch.chdir(home)


def test_env_default_describes_every_setting_and_holds_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    described = dict(re.findall(r"^([A-Z_]+)=(.*)$", ENV_DEFAULT.read_text(), re.MULTILINE))
    assert sorted(described) == sorted(variable_names().values())
    plain = load_settings(_env_file=None)
    for name, value in described.items():
        monkeypatch.setenv(name, value)
    assert load_settings(_env_file=None) == plain


def test_settings_come_from_the_environment_before_the_env_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".env").write_text("TREADLE_PORT=9001\nTREADLE_HOST=0.0.0.0\n")
    monkeypatch.setenv("TREADLE_PORT", "9002")
    settings = load_settings()
    assert (settings.port, settings.host) == (9002, "0.0.0.0")


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("TREADLE_PORT", "eighty", "valid integer"),
        ("TREADLE_PORT", "70000", "65535"),
        ("TREADLE_FILE_MAX_BYTES", "99999999999999999999999", "less than"),
        ("TREADLE_MAX_FIRINGS", "0", "greater than or equal to 1"),
        ("LOG_FORMAT", "xml", "'json'"),
        ("LOG_LEVEL", "loud", "'DEBUG'"),
        ("PUBLIC_URL", "agents.example.org", "http://"),
        ("TREADLE_TIMEZONE", "Mars/Olympus", "Europe/Berlin or UTC"),
        ("TREADLE_TIMEZONE", "../../etc/passwd", "Europe/Berlin"),
        ("TREADLE_EGRESS_ALLOW", "127.0.0.1", "host:port"),
        ("TREADLE_EGRESS_ALLOW", "10.0.0.0/8:80", "ranges"),
        ("TREADLE_EGRESS_ALLOW", "*.internal:80", "wildcards"),
        ("TREADLE_EGRESS_ALLOW", "fd00::5:80", "brackets"),
        ("TREADLE_EGRESS_ALLOW", "localhost:99999", "host:port"),
        ("TREADLE_EGRESS_ALLOW", "localhost:80,169.254.169.254:80", "metadata"),
        ("TREADLE_EGRESS_ALLOW", "[::ffff:169.254.169.254]:80", "metadata"),
        ("TREADLE_EGRESS_ALLOW", "[fd00:ec2::254]:80", "metadata"),
        ("TREADLE_EGRESS_ALLOW", "[fd00:0ec2:0:0::254]:80", "metadata"),
        ("TREADLE_EGRESS_ALLOW", "2852039166:80", "usual form"),
        ("TREADLE_EGRESS_ALLOW", "0xa9.0xfe.0xa9.0xfe:80", "usual form"),
        ("TREADLE_EGRESS_ALLOW", "Metadata.Google.Internal.:80", "metadata"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_the_fix(
    variable: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    assert variable in raised.value.message
    assert value.lower() in raised.value.message.lower()
    assert reason in raised.value.message
    assert variable in raised.value.fix


@pytest.mark.parametrize("form", ["mysql://me:{}@host/db", "postgresql://me:{}@[host/db", "postgres://me:{}@host:x/db"])
def test_a_wrong_database_address_is_not_repeated(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", form.format("hunter2hunter2"))
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    assert "DATABASE_URL" in raised.value.message
    assert "hunter2" not in raised.value.message


def test_lists_are_separated_by_commas_and_places_made_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_EGRESS_ALLOW", " LOCALHOST:11434, [FD00::5]:080 ,")
    monkeypatch.setenv("TREADLE_DISABLED_BLOCKS", "Run Code, Send Mail")
    settings = load_settings()
    assert settings.egress_allow == {"localhost:11434", "[fd00::5]:80"}
    assert settings.disabled_blocks == {"Run Code", "Send Mail"}


def test_settings_cannot_be_changed_and_do_not_print_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2hunter2@host/db")
    settings = load_settings()
    assert not settings.embedded_database
    assert "hunter2" not in repr(settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


def test_the_data_folder_follows_the_xdg_rules(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    monkeypatch.setenv("HOME", "/somewhere/else")
    assert load_settings(_env_file=None).home == home / "treadle"

"""The ring of keys: what it seals opens in its own place only, and no mistake with a key loses anything (K4)."""

import base64
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.base.config import Settings, load_settings
from treadle.base.crypto import (
    FILE,
    BrokenSeal,
    FileKeys,
    GivenKeys,
    KeyMissing,
    KeyRing,
    RingKey,
    key_id,
    key_ring,
    row_binding,
)
from treadle.base.errors import ConfigurationError

HERE = row_binding("credentials", "w", "1")
OLD, NEW = RingKey(bytes(32)), RingKey(bytes([1]) * 32)


def ring(*keys: RingKey) -> KeyRing:
    return KeyRing(GivenKeys(keys))


def text(key: RingKey) -> str:
    return base64.b64encode(key.material).decode()


@given(content=st.binary(max_size=200), place=st.binary(max_size=40))
def test_what_is_sealed_opens_again(content: bytes, place: bytes) -> None:
    sealed = ring(OLD).seal(content, place)
    assert ring(NEW, OLD).open(sealed, place) == content
    assert key_id(sealed) == OLD.id


@given(content=st.binary(min_size=1, max_size=60), place=st.binary(max_size=20), data=st.data())
def test_a_ciphertext_that_was_changed_or_moved_does_not_open(
    content: bytes, place: bytes, data: st.DataObject
) -> None:
    sealed = bytearray(ring(OLD).seal(content, place))
    with pytest.raises(BrokenSeal):
        ring(OLD).open(bytes(sealed), place + b"x")
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises((BrokenSeal, KeyMissing)):
        ring(OLD).open(bytes(sealed), place)
    with pytest.raises((BrokenSeal, KeyMissing)):
        ring(OLD).open(bytes(sealed[: bit // 8]), place)


def test_the_same_content_never_looks_the_same() -> None:
    made = {ring(OLD).seal(b"secret", HERE) for _ in range(50)}
    assert len(made) == 50 and all(b"secret" not in each for each in made)


def test_places_are_told_apart() -> None:
    assert row_binding("a", "bc") != row_binding("ab", "c") != row_binding("abc")


def test_a_missing_key_is_named_with_what_to_do_and_works_again_when_it_is_back() -> None:
    sealed = ring(OLD).seal(b"secret", HERE)
    with pytest.raises(KeyMissing, match=OLD.id) as caught:
        ring(NEW).open(sealed, HERE)
    assert "Put the key back" in caught.value.fix and "TREADLE_ENCRYPTION_KEYS" in caught.value.message
    assert ring(NEW, OLD).open(sealed, HERE) == b"secret"
    with pytest.raises(KeyMissing, match=OLD.id):
        ring(NEW).require([NEW.id, OLD.id])
    ring(NEW, OLD).require([OLD.id])


def test_keys_are_not_shown() -> None:
    key = RingKey(b"canary-canary-canary-canary-canary")
    assert "canary" not in f"{key!r}{ring(key)!r}{key.id}"


# --- the file ---


def test_the_file_is_made_when_something_is_first_sealed_and_for_its_owner_only(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path / FILE)
    assert KeyRing(keys).ids() == [] and not keys.file.exists()
    sealed = KeyRing(keys).seal(b"secret", HERE)
    assert keys.file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [FILE]
    assert KeyRing(FileKeys(keys.file)).open(sealed, HERE) == b"secret"


def test_opening_never_makes_a_key(tmp_path: Path) -> None:
    sealed = ring(OLD).seal(b"secret", HERE)
    with pytest.raises(KeyMissing, match=FILE):
        KeyRing(FileKeys(tmp_path / FILE)).open(sealed, HERE)
    assert list(tmp_path.iterdir()) == []


def test_all_who_start_at_once_get_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = threads.map(lambda _: KeyRing(FileKeys(tmp_path / FILE)).writing_id(), range(32))
    assert len(set(ids)) == 1


def test_a_file_with_one_bare_key_becomes_the_first_of_the_ring(tmp_path: Path) -> None:
    bare = os.urandom(64)
    file = tmp_path / FILE
    file.write_bytes(bare)
    file.chmod(0o600)
    keys = FileKeys(file)
    sealed = KeyRing(keys).seal(b"secret", HERE)
    assert KeyRing(keys).bare_key() == bare and file.read_bytes() == bare
    keys.replace([NEW, *keys.read()])
    assert KeyRing(keys).open(sealed, HERE) == b"secret"
    assert (KeyRing(keys).writing_id(), KeyRing(keys).bare_key()) == (NEW.id, bare)
    assert ring(NEW).bare_key() is None


def test_another_process_sees_that_keys_were_rotated(tmp_path: Path) -> None:
    mine, theirs = FileKeys(tmp_path / FILE), FileKeys(tmp_path / FILE)
    sealed = KeyRing(mine).seal(b"secret", HERE)
    first = key_id(sealed)
    assert KeyRing(theirs).ids() == [first]
    mine.replace([NEW, *mine.read()])
    assert (KeyRing(theirs).ids(), KeyRing(theirs).writing_id()) == ([NEW.id, first], NEW.id)
    assert mine.file.stat().st_mode & 0o777 == 0o600


def test_what_was_read_before_a_key_was_dropped_still_opens(tmp_path: Path) -> None:
    mine, theirs = FileKeys(tmp_path / FILE), FileKeys(tmp_path / FILE)
    sealed = KeyRing(mine).seal(b"secret", HERE)
    KeyRing(theirs).require([key_id(sealed)])
    mine.replace([NEW])
    assert KeyRing(theirs).open(sealed, HERE) == b"secret" and KeyRing(theirs).ids() == [NEW.id]
    with pytest.raises(KeyMissing):
        KeyRing(FileKeys(tmp_path / FILE)).open(sealed, HERE)


def test_a_file_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    keys = KeyRing(FileKeys(tmp_path / FILE))
    keys.writing_id()
    (tmp_path / FILE).unlink()
    with pytest.raises(ConfigurationError, match="is gone") as caught:
        keys.seal(b"secret", HERE)
    assert "backup" in caught.value.fix and not (tmp_path / FILE).exists()


@pytest.mark.parametrize("content", [b"", b"# nothing but a remark\n", b"not base64!\n", bytes(63), b"c2hvcnQ=\n"])
def test_a_file_without_keys_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / FILE
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match="does not hold keys") as caught:
        KeyRing(FileKeys(file)).seal(b"secret", HERE)
    assert "backup" in caught.value.fix and file.read_bytes() == content


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path / FILE)
    ring = KeyRing(keys)
    ring.writing_id()
    keys.file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="other users") as caught:
        ring.writing_id()
    assert "chmod 600" in caught.value.fix


# --- the setting ---


def test_the_settings_keys_come_before_the_files(settings: Settings) -> None:
    assert key_ring(settings).writing_id() == KeyRing(FileKeys(settings.home / FILE)).writing_id()
    given = load_settings(_env_file=None, home=settings.home, encryption_keys=f"{text(NEW)}, {text(OLD)}")
    assert key_ring(given).ids() == [NEW.id, OLD.id]


@pytest.mark.parametrize(
    "spoil", [lambda key: key[:20], lambda key: f"{key} {key}", lambda key: f"{key};{key}", lambda key: key + "%"]
)
def test_a_wrong_setting_is_told_without_quoting_it(settings: Settings, spoil: Callable[[str], str]) -> None:
    key = base64.b64encode(b"canary--" * 4).decode()
    with pytest.raises(ConfigurationError, match="TREADLE_ENCRYPTION_KEYS") as caught:
        load_settings(_env_file=None, home=settings.home, encryption_keys=spoil(key))
    assert key[:12] not in f"{caught.value.message}{caught.value.fix}"
    assert "each key must" in caught.value.message

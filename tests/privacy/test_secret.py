import multiprocessing
import os
import pickle

import pytest

from medpipe.errors import SecurityError
from medpipe.privacy.secret import KEY_FILE_VARIABLE, Secret, load_secret


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MEDPIPE_KEY_FILE", raising=False)
    return tmp_path


def test_a_key_is_made_once_for_its_owner_alone(home):
    first, second = load_secret(), load_secret()
    assert first.created
    assert not second.created
    assert first == second
    assert first.path == home / "config" / "medpipe" / "key"
    assert first.path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in first.path.parent.iterdir()] == ["key"]


def test_many_processes_at_once_make_one_key(home):
    with multiprocessing.get_context("fork").Pool(8) as pool:
        found = pool.map(_loaded, range(16))
    assert len({key for key, _ in found}) == 1
    assert sum(created for _, created in found) == 1


def _loaded(_number):
    secret = load_secret()
    return secret.key, secret.created


def test_a_named_file_goes_before_the_environment_and_that_before_the_users_own(home, monkeypatch):
    files = []
    for number in range(2):
        files.append(home / f"key{number}")
        files[-1].write_text(bytes([number] * 32).hex() + "\n")
        files[-1].chmod(0o600)
    monkeypatch.setenv("MEDPIPE_KEY_FILE", str(files[1]))
    assert load_secret(files[0]).key == bytes(32)
    assert load_secret().key == bytes([1] * 32)
    assert not (home / "config").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_reach_is_refused(home, mode):
    path = load_secret().path
    path.chmod(mode)
    with pytest.raises(SecurityError, match="chmod 600"):
        load_secret()


@pytest.mark.parametrize("content", [b"", b"abc", b"zz" * 32, b"00" * 31, bytes(range(200, 232))])
def test_a_file_that_holds_no_key_is_refused_without_showing_it(home, content):
    path = home / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SecurityError, match="holds no key") as refusal:
        load_secret(path)
    assert not content or repr(content) not in str(refusal.value)


def test_a_named_file_that_is_missing_is_refused_and_not_made(home):
    with pytest.raises(SecurityError, match="cannot be read"):
        load_secret(home / "missing")
    assert not (home / "missing").exists()


def test_a_home_where_nothing_can_be_made_is_refused_with_what_to_do(home, monkeypatch):
    (home / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "file" / "config"))
    with pytest.raises(SecurityError, match=f"cannot be created .*{KEY_FILE_VARIABLE}"):
        load_secret()


def test_a_user_without_a_home_is_told_to_name_a_key_file(home, monkeypatch):
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    with pytest.raises(SecurityError, match=f"no home .*{KEY_FILE_VARIABLE}"):
        load_secret()


def test_the_key_is_never_shown():
    secret = Secret(os.urandom(32))
    shown = repr(secret) + str(secret) + f"{secret}" + secret.key_id
    assert secret.key.hex() not in shown
    assert repr(secret.key) not in shown


def test_the_public_id_is_stable_and_tells_keys_apart():
    assert Secret(bytes(32)).key_id == Secret(bytes(32)).key_id
    assert len({Secret(bytes([number] * 32)).key_id for number in range(64)}) == 64


def test_derived_keys_are_hkdf_of_the_standard_library():
    import hashlib
    import hmac

    key = bytes(range(32))
    extracted = hmac.digest(bytes(32), key, hashlib.sha256)
    expected = hmac.digest(extracted, b"medpipe/1/some purpose" + b"\x01", hashlib.sha256)
    assert Secret(key).derive("some purpose") == expected


def test_a_secret_survives_pickling():
    secret = Secret(os.urandom(32))
    assert pickle.loads(pickle.dumps(secret)) == secret

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.errors import SecurityError
from medpipe.privacy.sealed import seal, unseal
from medpipe.privacy.secret import Secret

SECRET = Secret(bytes(range(32)))


@given(st.binary(max_size=200))
def test_what_is_sealed_opens(data):
    assert unseal(SECRET, seal(SECRET, data, purpose="p", name="n"), purpose="p", name="n") == data


def test_it_opens_with_aes_gcm_by_hand():
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealed = seal(SECRET, b"text", purpose="p", name="n")
    assert sealed[:4] == b"MPS1"
    assert AESGCM(SECRET.derive("sealed/p")).decrypt(sealed[4:16], sealed[16:], b"n") == b"text"


@pytest.mark.parametrize(
    ("secret", "purpose", "name"),
    [(Secret(bytes(32)), "p", "n"), (SECRET, "q", "n"), (SECRET, "p", "m")],
    ids=["key", "purpose", "name"],
)
def test_it_opens_with_nothing_else(secret, purpose, name):
    sealed = seal(SECRET, b"text", purpose="p", name="n")
    with pytest.raises(SecurityError):
        unseal(secret, sealed, purpose=purpose, name=name)


def test_every_altered_or_missing_byte_is_found():
    sealed = seal(SECRET, b"some text", purpose="p", name="n")
    for place in range(len(sealed)):
        altered = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        for damaged in (altered, sealed[:place]):
            with pytest.raises(SecurityError):
                unseal(SECRET, damaged, purpose="p", name="n")


def test_the_same_text_is_sealed_differently_each_time():
    assert seal(SECRET, b"text", purpose="p", name="n") != seal(SECRET, b"text", purpose="p", name="n")

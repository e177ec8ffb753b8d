import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.privacy.secret import Secret

SECRET = Secret(bytes(range(32)))
TEXTS = st.lists(st.text(alphabet=st.characters(codec=None), max_size=6), min_size=1, max_size=4)


def test_a_pseudonym_is_hmac_sha256_by_hand():
    message = b"".join(len(part).to_bytes(8, "big") + part for part in (b"patient", b"4711", b"issuer"))
    expected = hmac.new(SECRET.derive("pseudonyms"), message, hashlib.sha256).hexdigest()[:32]
    assert Pseudonyms(SECRET).key("patient", "4711", "issuer") == expected


@given(TEXTS, TEXTS)
def test_different_identifiers_have_different_pseudonyms(one, other):
    keys = Pseudonyms(SECRET)
    assert (keys.key("x", *one) == keys.key("x", *other)) == (one == other)


def test_parts_domains_and_keys_are_told_apart():
    keys = Pseudonyms(SECRET)
    found = {
        keys.key("a", "bc"),
        keys.key("ab", "c"),
        keys.key("a", "b", "c"),
        keys.key("abc"),
        keys.key("a", "bc", ""),
    }
    found.add(Pseudonyms(Secret(bytes(32))).key("a", "bc"))
    assert len(found) == 6


@pytest.mark.parametrize("text", ["", "Ünïcode", "\udcff name", "\ud800"])
def test_every_text_has_a_pseudonym(text):
    key = Pseudonyms(SECRET).key("path", text)
    assert len(key) == 32
    assert set(key) <= set("0123456789abcdef")


def test_the_key_is_not_shown():
    assert repr(Pseudonyms(SECRET)) == "Pseudonyms()"

import pytest

from medpipe.errors import SecurityError
from medpipe.lake.layout import LAYOUT

KEY = "ab" * 32


def test_objects_lie_under_the_first_two_digits_of_their_key():
    assert LAYOUT.volume(KEY) == f"objects/ab/{KEY}"


@pytest.mark.parametrize(
    "key", ["", "ab", "AB" * 16, "g" * 32, "../" * 8, "ab" * 33, "ab" * 16 + "\n", "ab" * 16 + "/x"]
)
def test_what_is_no_digest_is_no_path(key):
    for build in (LAYOUT.volume, LAYOUT.snapshot, LAYOUT.fit, LAYOUT.model):
        with pytest.raises(SecurityError):
            build(key)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a b", "-x", ".x", "a\0b", "a\n", "ü", "x" * 129, "a\\b"]
)
def test_what_is_no_plain_name_is_no_path(name):
    for build in (LAYOUT.run, LAYOUT.latest, LAYOUT.index_pointer, LAYOUT.run_recipe):
        with pytest.raises(SecurityError):
            build(name)
    with pytest.raises(SecurityError):
        LAYOUT.attempt(name, KEY)


@pytest.mark.parametrize("name", ["../x", "a/../b", "a//b", "/a", "a/", ""])
def test_a_private_name_climbs_nowhere(name):
    with pytest.raises(SecurityError):
        LAYOUT.private(name)


def test_a_refusal_does_not_repeat_the_name():
    with pytest.raises(SecurityError) as refusal:
        LAYOUT.run("Doe John")
    assert "Doe" not in str(refusal.value)

"""Numbers out of Siemens CSA2 headers made by hand, as dcm2niix and nibabel describe them."""

from __future__ import annotations

import struct

import pytest

from medpipe.archive.vendor import _csa_numbers


def header(*elements: tuple[bytes, tuple[bytes, ...]]) -> bytes:
    """Return a CSA2 header of elements with the texts of their items."""
    parts = [b"SV10", b"\4\3\2\1", struct.pack("<II", len(elements), 77)]
    for name, texts in elements:
        parts.append(name.ljust(64, b"\0") + struct.pack("<I4sIII", 1, b"FD\0\0", 6, len(texts), 77))
        parts += [struct.pack("<4I", 0, len(text), 77, 0) + text + bytes(-len(text) % 4) for text in texts]
    return b"".join(parts)


CSA = header((b"Echo", (b"12.5",)), (b"EchoTrain", (b"1", b"", b"22 ")), (b"Last", ()), (b"Word", (b"none",)))


@pytest.mark.parametrize(
    ("name", "numbers"), [("Echo", (12.5,)), ("EchoTrain", (1.0, 22.0)), ("Last", ()), ("Ech", ()), ("Word", ())]
)
def test_an_element_is_found_by_its_whole_name(name, numbers):
    assert _csa_numbers(CSA, name) == numbers


@pytest.mark.parametrize("end", [0, 4, 15, 16, 50, 99, 100, 130, 200])
def test_a_header_that_is_cut_before_an_element_does_not_have_it(end):
    assert _csa_numbers(CSA[:end], "EchoTrain") == ()


@pytest.mark.parametrize("damage", [b"SV09", b"\0\0\0\0"])
def test_other_headers_have_no_elements(damage):
    assert _csa_numbers(damage + CSA[4:], "Echo") == ()


def test_lengths_beyond_the_header_lead_nowhere():
    at = CSA.index(struct.pack("<4I", 0, 4, 77, 0) + b"12.5")
    damaged = CSA[: at + 4] + b"\xff\xff\xff\xff" + CSA[at + 8 :]
    assert _csa_numbers(damaged, "EchoTrain") == ()

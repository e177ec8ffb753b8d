"""Pseudonyms: keyed one-way names for identifiers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from medpipe.privacy.secret import Secret

_HEX_DIGITS = 32


class Pseudonyms:
    """Turns identifiers into keys that only the holder of the secret can compute.

    Parameters
    ----------
    secret : Secret
        The site's key; another key gives unrelated pseudonyms.

    Notes
    -----
    A plain hash would not do: the space of patient numbers is small enough to try them all.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: Secret) -> None:
        # the two hashes of an HMAC with the key taken in already: a scan names millions of files
        key = secret.derive("pseudonyms").ljust(hashlib.sha256().block_size, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

    def __repr__(self) -> str:
        return "Pseudonyms()"

    def key(self, domain: str, /, *parts: str) -> str:
        """Return the pseudonym of an identifier.

        HMAC-SHA256 (RFC 2104) over the domain and the parts, each preceded by its length, cut
        to 128 bits.

        Parameters
        ----------
        domain : str
            What is named: ``patient``, ``study``, ``series``, ...; equal identifiers of two
            domains have unrelated pseudonyms.
        *parts : str
            The identifier. ``("ab", "c")`` and ``("a", "bc")`` are different.

        Returns
        -------
        str
            32 lower-case hexadecimal digits.
        """
        message = b"".join([_framed(part) for part in (domain, *parts)])
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.hexdigest()[:_HEX_DIGITS]

    def keys(self, domain: str, /, *parts: str, last: Iterable[str]) -> list[str]:
        """Return :meth:`key` of a domain and parts that differ in the last one, for each of these."""
        begun = self._inner.copy()
        begun.update(b"".join([_framed(part) for part in (domain, *parts)]))
        found: list[str] = []
        for part in last:
            inner, outer = begun.copy(), self._outer.copy()
            inner.update(_framed(part))
            outer.update(inner.digest())
            found.append(outer.hexdigest()[:_HEX_DIGITS])
        return found


def _framed(part: str) -> bytes:
    # Names of files may hold lone surrogates: surrogatepass encodes every text, each differently.
    text = part.encode("utf-8", errors="surrogatepass")
    return len(text).to_bytes(8, "big") + text

"""Pseudonyms: keyed one-way names for identifiers."""

from __future__ import annotations

import hmac

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

    __slots__ = ("_key",)

    def __init__(self, secret: Secret) -> None:
        self._key = secret.derive("pseudonyms")

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
        message = b"".join(_framed(part) for part in (domain, *parts))
        return hmac.digest(self._key, message, "sha256").hex()[:_HEX_DIGITS]


def _framed(part: str) -> bytes:
    # Names of files may hold lone surrogates: surrogatepass encodes every text, each differently.
    text = part.encode("utf-8", errors="surrogatepass")
    return len(text).to_bytes(8, "big") + text

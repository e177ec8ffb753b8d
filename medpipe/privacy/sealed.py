"""Sealed bytes: AES-256-GCM under a key derived for a purpose, bound to a name.

A sealed blob is ``MPS1``, a nonce of 12 random bytes, and the ciphertext with its tag of 16
bytes (NIST SP 800-38D). The name is associated data: a blob moved under another name does not
open.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from medpipe.errors import SecurityError
from medpipe.privacy.secret import Secret

_MAGIC = b"MPS1"
_NONCE_BYTES = 12


def seal(secret: Secret, data: bytes, *, purpose: str, name: str) -> bytes:
    """Return `data` encrypted and authenticated.

    Parameters
    ----------
    secret : Secret
    data : bytes
    purpose : str
        What the bytes are for; each purpose has its own key.
    name : str
        Name the bytes are kept under; needed again to open them.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return _MAGIC + nonce + _cipher(secret, purpose).encrypt(nonce, data, name.encode())


def unseal(secret: Secret, sealed: bytes, *, purpose: str, name: str) -> bytes:
    """Return the bytes that :func:`seal` encrypted.

    Raises
    ------
    SecurityError
        If the key, the purpose or the name is another, or the bytes were altered.
    """
    head = len(_MAGIC) + _NONCE_BYTES
    if sealed[: len(_MAGIC)] != _MAGIC or len(sealed) < head:
        raise SecurityError(f"{name}: these are no sealed bytes; restore the file, or scan again")
    try:
        return _cipher(secret, purpose).decrypt(sealed[len(_MAGIC) : head], sealed[head:], name.encode())
    except InvalidTag:
        raise SecurityError(
            f"{name}: does not open with key {secret.key_id}; use the lake's own key, or restore the file"
        ) from None


def _cipher(secret: Secret, purpose: str) -> AESGCM:
    return AESGCM(secret.derive(f"sealed/{purpose}"))

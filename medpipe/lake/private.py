"""The private room of a lake: sealed blobs that only the holder of the key can open."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence

import pyarrow as pa

from medpipe.errors import IntegrityError, SecurityError
from medpipe.lake.durable import storage_faults
from medpipe.lake.layout import LAYOUT
from medpipe.lake.store import LocalStore
from medpipe.privacy.sealed import seal, unseal
from medpipe.privacy.secret import Secret

SOURCES = "sources"
"""Folder of what scans keep, with a folder for each source."""

_PURPOSE = "lake/private"
_NAMES = "lake/private/names"
_SUFFIX = ".sealed"
_SIZE_BYTES = 8
_TOKEN_DIGITS = 32


class Private:
    """Named blobs, compressed and then encrypted (AES-256-GCM), each replaced atomically.

    Locators, raw identifiers and text to match on are kept here, and nowhere else in a
    pseudonymized lake. Names are not secret and must hold no patient value.

    Parameters
    ----------
    store : LocalStore
    secret : Secret
    """

    def __init__(self, store: LocalStore, secret: Secret) -> None:
        self._store = store
        self._secret = secret
        self._names_key = secret.derive(_NAMES)

    def __repr__(self) -> str:
        return "Private()"

    def put(self, name: str, data: bytes) -> None:
        """Write a blob, or replace it.

        Parameters
        ----------
        name : str
            Letters, digits and ``. _ @ + -``, with ``/`` between folders.
        data : bytes
        """
        self._store.swap_pointer(LAYOUT.private(name), self.sealed(name, data))

    def put_content(self, prefix: str, data: bytes) -> str:
        """Write a blob under a name made of its content, unless it is there; return the name.

        Parameters
        ----------
        prefix : str
            First part of the name. A dot and a keyed digest of the bytes follow: equal bytes
            have one name, and without the key the name tells nothing of them.
        data : bytes
        """
        token = hmac.digest(self._names_key, data, "sha256").hex()[:_TOKEN_DIGITS]
        name = f"{prefix}.{token}"
        if not self.exists(name):
            self.put(name, data)
        return name

    def get(self, name: str) -> bytes:
        """Return a blob.

        Raises
        ------
        FileNotFoundError
            If there is none of this name.
        IntegrityError
            If it was altered: the key is the lake's own, so it opens what the lake sealed.
        """
        sealed = self._store.get(LAYOUT.private(name))
        try:
            return self.opened(name, sealed)
        except SecurityError:
            raise IntegrityError(f"{LAYOUT.private(name)}: it is torn or altered; {remedy(name)}") from None

    def need(self, name: str) -> bytes:
        """Return a blob that another one names.

        Raises
        ------
        IntegrityError
            If it was altered, or is not there.
        """
        try:
            return self.get(name)
        except FileNotFoundError:
            raise IntegrityError(lacking([name])) from None

    def remove(self, name: str) -> None:
        """Remove a blob if it is there."""
        with storage_faults(LAYOUT.private(name)):
            self._store.absolute(LAYOUT.private(name)).unlink(missing_ok=True)

    def sealed(self, name: str, data: bytes) -> bytes:
        """Return bytes as they would be kept under a name, for who keeps them elsewhere."""
        packed = len(data).to_bytes(_SIZE_BYTES, "big") + pa.Codec("zstd", compression_level=3).compress(
            data, asbytes=True
        )
        return seal(self._secret, packed, purpose=_PURPOSE, name=name)

    def opened(self, name: str, sealed: bytes) -> bytes:
        """Return the bytes that :meth:`sealed` made.

        Raises
        ------
        SecurityError
            If the key or the name is another, or the bytes were altered.
        """
        packed = unseal(self._secret, sealed, purpose=_PURPOSE, name=name)
        size = int.from_bytes(packed[:_SIZE_BYTES], "big")
        data: bytes = pa.Codec("zstd").decompress(packed[_SIZE_BYTES:], decompressed_size=size, asbytes=True)
        return data

    def exists(self, name: str) -> bool:
        """Tell whether there is a blob of this name."""
        return self._store.exists(LAYOUT.private(name))

    def names(self, prefix: str = "") -> Iterator[str]:
        """Yield the names that start with `prefix`, sorted."""
        top = LAYOUT.private_folder()
        folder = f"{top}/{prefix.rpartition('/')[0]}".rstrip("/")
        for path in self._store.list(folder):
            name = path.removeprefix(f"{top}/").removesuffix(_SUFFIX)
            if name.startswith(prefix):
                yield name


def remedy(name: str) -> str:
    """Return what mends a blob that is damaged or gone, for a message."""
    room, _, rest = name.partition("/")
    if room != SOURCES:
        return "remove it and run again"
    folder = f"{LAYOUT.private_folder()}/{SOURCES}/{rest.partition('/')[0]}"
    return f"remove the folder {folder} and scan again, which reads that archive anew"


def lacking(missing: Sequence[str]) -> str:
    """Return what to tell of blobs that are missing, by their names."""
    first = missing[0]
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    return f"{LAYOUT.private(first)}{more}: it is missing; {remedy(first)}"

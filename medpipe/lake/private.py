"""The private room of a lake: sealed blobs that only the holder of the key can open."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from medpipe.lake.layout import LAYOUT
from medpipe.lake.store import LocalStore
from medpipe.privacy.sealed import seal, unseal
from medpipe.privacy.secret import Secret

_PURPOSE = "lake/private"
_SUFFIX = ".sealed"
_SIZE_BYTES = 8


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
        packed = len(data).to_bytes(_SIZE_BYTES, "big") + pa.Codec("zstd", compression_level=3).compress(
            data, asbytes=True
        )
        sealed = seal(self._secret, packed, purpose=_PURPOSE, name=name)
        self._store.swap_pointer(LAYOUT.private(name), sealed)

    def get(self, name: str) -> bytes:
        """Return a blob.

        Raises
        ------
        FileNotFoundError
            If there is none of this name.
        SecurityError
            If the key is another, or the blob was altered.
        """
        sealed = self._store.get(LAYOUT.private(name))
        packed = unseal(self._secret, sealed, purpose=_PURPOSE, name=name)
        size = int.from_bytes(packed[:_SIZE_BYTES], "big")
        data: bytes = pa.Codec("zstd").decompress(packed[_SIZE_BYTES:], decompressed_size=size, asbytes=True)
        return data

    def exists(self, name: str) -> bool:
        """Tell whether there is a blob of this name."""
        return self._store.exists(LAYOUT.private(name))

    def names(self, prefix: str = "") -> Iterator[str]:
        """Yield the names that start with `prefix`, sorted."""
        folder = LAYOUT.private_folder()
        for path in self._store.list(folder):
            name = path.removeprefix(f"{folder}/").removesuffix(_SUFFIX)
            if name.startswith(prefix):
                yield name

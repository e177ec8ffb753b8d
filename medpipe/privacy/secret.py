"""The secret key of a site: where it is kept, and what is derived from it.

One key of 32 random bytes stands behind every pseudonym and every sealed byte. It lives in a
file that nobody but its owner can read, never in a lake, a log or a task.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from medpipe.errors import SecurityError

KEY_BYTES = 32
KEY_FILE_VARIABLE = "MEDPIPE_KEY_FILE"


@dataclass(frozen=True, slots=True)
class Secret:
    """A site's key.

    Attributes
    ----------
    key : bytes
        32 random bytes; never shown by ``repr``.
    path : Path or None
        File the key was read from.
    created : bool
        Whether :func:`load_secret` has just made the file, so that a person must be told.
    """

    key: bytes = field(repr=False)
    path: Path | None = field(default=None, compare=False)
    created: bool = field(default=False, compare=False)

    @property
    def key_id(self) -> str:
        """Public name of the key: 16 hex digits from which the key cannot be found."""
        return self.derive("key id")[:8].hex()

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key of a purpose (HKDF-SHA256, RFC 5869).

        Parameters
        ----------
        purpose : str
            Keys of different purposes tell nothing about each other.
        """
        info = b"medpipe/1/" + purpose.encode()
        return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=info).derive(self.key)


def load_secret(path: Path | None = None) -> Secret:
    """Return the site's key; without any configured, make the user's own once.

    Looked for in this order: `path`; the file named by ``MEDPIPE_KEY_FILE``; the user's
    ``$XDG_CONFIG_HOME/medpipe/key`` (``~/.config/medpipe/key``), which is created with mode
    0600 if it is missing.

    Parameters
    ----------
    path : Path, optional
        Key file named by the site: 64 hexadecimal digits.

    Returns
    -------
    Secret
        ``created`` tells whether the file was made by this call.

    Raises
    ------
    SecurityError
        If the file cannot be read, can be read by others, or holds no key.
    """
    named = path or _named_file(os.environ)
    if named is not None:
        return _read(named.expanduser())
    own = _own_file(os.environ)
    created = _create(own)
    found = _read(own)
    return Secret(found.key, path=own, created=created)


def find_secret(path: Path | None = None) -> Secret | None:
    """Return the key :func:`load_secret` would, or None where it would have to be made.

    Raises
    ------
    SecurityError
        If the file cannot be read, can be read by others, or holds no key.
    """
    named = path or _named_file(os.environ)
    if named is None and not _own_file(os.environ).exists():
        return None
    return load_secret(path)


def _named_file(environment: Mapping[str, str]) -> Path | None:
    named = environment.get(KEY_FILE_VARIABLE)
    return Path(named) if named else None


def _own_file(environment: Mapping[str, str]) -> Path:
    named = environment.get("XDG_CONFIG_HOME")
    try:
        folder = Path(named) if named else Path.home() / ".config"
    except RuntimeError:  # no HOME, and a user the system does not know, as in many containers
        raise SecurityError(f"there is no home to keep a key in: name a key file in {KEY_FILE_VARIABLE}") from None
    return folder / "medpipe" / "key"


def _create(path: Path) -> bool:
    if path.exists():
        return False
    aside = path.with_name(f".key.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_exclusively(aside, path)
    except FileExistsError:
        return False
    except OSError as error:
        raise SecurityError(
            f"the key file {path} cannot be created ({error.strerror}): make the folder writable, "
            f"or name a key file in {KEY_FILE_VARIABLE}"
        ) from error
    return True


def _write_exclusively(aside: Path, path: Path) -> None:
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link is exclusive and whole: a second process never reads half a key.
        os.link(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _read(path: Path) -> Secret:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096)
    except OSError as error:
        raise SecurityError(f"the key file {path} cannot be read ({error.strerror}): check the path") from error
    if stat.S_IMODE(mode) & 0o077:
        raise SecurityError(f"the key file {path} can be read or written by others: chmod 600 it")
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SecurityError(f"the key file {path} holds no key: {2 * KEY_BYTES} hexadecimal digits are expected")
    return Secret(key, path=path)

"""The skops file of a fitted estimator: one canonical form, and a guarded way back.

skops writes a zip of a schema and of arrays, named and numbered by memory addresses and dated
by the clock. Here names come from content, numbers and dates go, so that the same fit gives
the same bytes. Reading checks the container, the arrays and every type before anything is
built, and the sizes compiled code relies on before anything is predicted. No pickle is read.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

import numpy as np

from medpipe.errors import ConfigError, SecurityError
from medpipe.keys import bytes_digest
from medpipe.models.trust import MAX_DEPTH, TRUSTED_TYPES, check_estimator, check_nodes, make_sequential

MAX_BYTES = 256 * 2**20
"""Largest model file read."""

_SCHEMA = "schema.json"
_ARRAY_NAME = re.compile(r"[\w-]+\.npy")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


def dump(estimator: Any) -> bytes:
    """Return the canonical skops file of a fitted estimator.

    Raises
    ------
    ConfigError
        If skops cannot hold the estimator.
    SecurityError
        If the estimator holds a type :func:`load` would refuse.
    """
    import skops.io

    try:
        raw = skops.io.dumps(estimator)
    except Exception as error:
        raise ConfigError(f"the estimator cannot be written as a skops file ({type(error).__name__})") from error
    members = _members(raw)
    schema = _schema_of(members)
    check_nodes(schema)
    renamed = {name: f"{bytes_digest(data)[:40]}.npy" for name, data in members.items() if name != _SCHEMA}
    files = {renamed[name]: members[name] for name in renamed}
    files[_SCHEMA] = json.dumps(_anonymous(schema, renamed), separators=(",", ":")).encode("ascii")
    return _zip(files)


def load(data: bytes) -> Any:
    """Return the estimator a skops file holds, if all of it is trusted.

    Raises
    ------
    SecurityError
        For anything but a plain skops file of trusted types whose parts fit each other.
    """
    members = _members(data)
    check_nodes(_schema_of(members))
    for name, content in members.items():
        if name != _SCHEMA:
            _check_array(content)
    import skops.io

    try:
        estimator = skops.io.loads(data, trusted=list(TRUSTED_TYPES))
    except Exception as error:  # noqa: BLE001  # hostile content may raise anything
        raise SecurityError(f"model file: it cannot be rebuilt ({type(error).__name__})") from None
    check_estimator(estimator)
    make_sequential(estimator)
    return estimator


def _members(data: bytes) -> dict[str, bytes]:
    if len(data) > MAX_BYTES:
        raise SecurityError(f"model file: larger than {MAX_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, limit=len(data))
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise SecurityError(f"model file: not a skops file ({type(error).__name__})") from None


def _check_entries(entries: list[zipfile.ZipInfo], *, limit: int) -> None:
    names = [entry.filename for entry in entries]
    if _SCHEMA not in names or len(set(names)) < len(names):
        raise SecurityError("model file: not a skops file (its schema is missing or a name is doubled)")
    if not all(name == _SCHEMA or _ARRAY_NAME.fullmatch(name) for name in names):
        raise SecurityError("model file: it holds more than a schema and arrays")
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    # uncompressed members cannot be larger together than the file, unless they overlap
    if not stored or sum(entry.file_size for entry in entries) > limit:
        raise SecurityError("model file: its members are compressed or overlap")


def _schema_of(members: dict[str, bytes]) -> Any:
    try:
        schema = json.loads(members[_SCHEMA])
    except (ValueError, RecursionError):
        raise SecurityError("model file: its schema cannot be read") from None
    if not isinstance(schema, dict):
        raise SecurityError("model file: its schema is no table")
    return schema


def _check_array(content: bytes) -> None:
    """Refuse object arrays, and headers that promise more than the file holds."""
    buffer = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(buffer)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read_header[version](buffer)
        expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    except Exception:  # noqa: BLE001  # NumPy parses headers as Python text, with all a parser can raise
        raise SecurityError("model file: an array cannot be read") from None
    if dtype.hasobject or expected != len(content) - buffer.tell():
        raise SecurityError("model file: an array is not what its header says")


def _anonymous(value: Any, renamed: dict[str, str], depth: int = 0) -> Any:
    """Return the schema without memory addresses; the order of keys carries meaning and stays."""
    if depth > MAX_DEPTH:
        raise SecurityError("model file: nested too deep")
    if isinstance(value, list):
        return [_anonymous(item, renamed, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _anonymous(item, renamed, depth + 1) for key, item in value.items() if key != "__id__"}
    if value.get("__loader__") == "NdArrayNode" and value.get("type") == "numpy":
        plain["file"] = renamed[value["file"]]
    return plain


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.create_system, entry.external_attr = _UNIX, 0o600 << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()

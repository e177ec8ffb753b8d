"""What an ONNX file holds, looked at before any library parses it: plain operators and their own numbers.

The file is a protocol buffer (onnx/onnx.proto of the standard gives the numbers of the fields). Only
messages and names are gone through, never the numbers of tensors. Refused is what could reach beyond the
file (tensors in other files), bring code or control flow (operators of other domains, functions,
graphs within nodes), or answer otherwise the next time (operators that draw numbers).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Final

from medpipe.errors import SecurityError

MAX_BYTES = 2**30
"""Largest network read."""

MAX_NODES = 20_000
_MAX_FIELDS = 2_000_000
_MAX_KEY = 2**32 - 1
_DOMAINS: Final = frozenset({"", "ai.onnx"})
_DRAWING: Final = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_TRAINING_MODE = 3
"""Inputs of a Dropout that is told whether it is in training: then it draws numbers."""

Fields = Iterator[tuple[int, "int | memoryview"]]

# numbers of fields, by message
_GRAPH, _OPSET, _TRAINING, _FUNCTIONS = 7, 8, 20, 25  # ModelProto
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15  # GraphProto
_NODE_INPUT, _OP_TYPE, _ATTRIBUTE, _DOMAIN = 1, 4, 5, 7  # NodeProto
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)  # AttributeProto
_DIMS, _EXTERNAL_DATA, _DATA_LOCATION = 1, 13, 14  # TensorProto
_OPSET_DOMAIN = 1  # OperatorSetIdProto


def check_file(data: bytes) -> None:
    """Refuse an ONNX file that holds more than plain operators and their own numbers.

    Raises
    ------
    SecurityError
        If it is too large, no ONNX file, cut short, or holds anything of what this module refuses.
    """
    if len(data) > MAX_BYTES:
        raise SecurityError(f"network: larger than {MAX_BYTES} bytes")
    _Check(len(data)).model(memoryview(data))


class _Check:
    """One walk through a file; it ends where there are too many fields or nodes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = _MAX_FIELDS
        self._nodes = 0

    def model(self, data: memoryview) -> None:
        graphs = 0
        for number, value in self._fields(data):
            if number == _GRAPH:
                graphs += 1
                self._graph(_message(value))
            elif number == _OPSET:
                self._opset(_message(value))
            elif number in (_TRAINING, _FUNCTIONS):
                raise SecurityError("network: it brings functions or a training of its own")
        if graphs != 1 or not self._nodes:
            raise SecurityError("network: not an ONNX file, or without an operator")

    def _opset(self, data: memoryview) -> None:
        for number, value in self._fields(data):
            if number == _OPSET_DOMAIN:
                _check_domain(value)

    def _graph(self, data: memoryview) -> None:
        for number, value in self._fields(data):
            if number == _NODE:
                self._node(_message(value))
            elif number == _INITIALIZER:
                self._tensor(_message(value))
            elif number == _SPARSE_INITIALIZER:
                raise SecurityError("network: sparse tensors are not read")

    def _node(self, data: memoryview) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise SecurityError(f"network: more than {MAX_NODES} operators")
        op_type, inputs = "", []
        for number, value in self._fields(data):
            if number == _DOMAIN:
                _check_domain(value)
            elif number == _OP_TYPE:
                op_type = _text(value)
            elif number == _NODE_INPUT:
                inputs.append(_text(value))
            elif number == _ATTRIBUTE:
                self._attribute(_message(value))
        in_training = op_type == "Dropout" and len(inputs) >= _TRAINING_MODE and bool(inputs[_TRAINING_MODE - 1])
        if op_type in _DRAWING or in_training:
            raise SecurityError(f"network: {op_type} draws numbers, so that it may answer otherwise the next time")

    def _attribute(self, data: memoryview) -> None:
        for number, value in self._fields(data):
            if number in _ATTRIBUTE_TENSORS:
                self._tensor(_message(value))
            elif number in _ATTRIBUTE_GRAPHS:
                raise SecurityError("network: control flow (If, Loop, Scan) is not run")
            elif number in _ATTRIBUTE_SPARSE:
                raise SecurityError("network: sparse tensors are not read")

    def _tensor(self, data: memoryview) -> None:
        dims: list[int] = []
        for number, value in self._fields(data):
            if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
                raise SecurityError("network: numbers that lie in another file; write it as one file")
            if number == _DIMS:
                dims += [value] if isinstance(value, int) else _varints(value)
        # two of the smallest numbers there are share a byte
        if prod(dims) > 2 * self._size:
            raise SecurityError("network: a tensor promises more numbers than the file can hold")

    def _fields(self, data: memoryview) -> Fields:
        at = 0
        while at < len(data):
            self._left -= 1
            if self._left < 0:
                raise SecurityError("network: its parts are too many to be gone through")
            key, at = _varint(data, at)
            # libraries drop the bits beyond: they would read another field than the one seen here
            if key > _MAX_KEY:
                raise _no_file()
            number, kind = key >> 3, key & 7
            if kind == 0:
                value, at = _varint(data, at)
                yield number, value
                continue
            if kind == 2:
                length, at = _varint(data, at)
            elif kind in (1, 5):
                length = 8 if kind == 1 else 4
            else:
                raise _no_file()
            if length > len(data) - at:
                raise _no_file()
            yield number, data[at : at + length]
            at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise _no_file()


def _varints(data: memoryview) -> list[int]:
    found: list[int] = []
    at = 0
    while at < len(data):
        if len(found) > 64:
            raise SecurityError("network: a tensor of too many axes")
        value, at = _varint(data, at)
        found.append(value)
    return found


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _no_file()
    return value


def _text(value: int | memoryview) -> str:
    try:
        return bytes(_message(value)).decode()
    except UnicodeDecodeError:
        raise _no_file() from None


def _check_domain(value: int | memoryview) -> None:
    domain = _text(value)
    if domain not in _DOMAINS:
        raise SecurityError(f"network: operators of {domain[:40]!r}; only those of the ONNX standard are run")


def _no_file() -> SecurityError:
    return SecurityError("network: not an ONNX file, or cut short")

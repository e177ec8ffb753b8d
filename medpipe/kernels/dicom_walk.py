"""Where the elements of a DICOM data set are: one compiled pass over the bytes of its head.

The pass is strict (PS3.5 section 7): what is not written as the standard says it ends with
``UNSURE``, and a slower reader decides. It reads tags, types and lengths, and no value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from medpipe.kernels.dicom_bytes import (
    LITTLE,
    UNDEFINED,
    Bytes,
    Integer,
    Integers,
    are_equal,
    are_letters,
    length_bytes,
    place_of,
    says,
    tag_at,
    type_number,
    u16,
    u32,
)
from medpipe.kernels.dicom_records import TAG, added, is_within, record

COMPLETE, MORE, UNSURE, DEFLATED = 0, 1, 2, 3
"""How a pass ended: all is known, up to the pixels or the end; it needs more bytes; it is not as it should be; what
comes at ``BEGIN`` is deflated."""

LEAF, BULK, SEQUENCE, PRESENCE, SELDOM, VARYING = 0, 1, 2, 3, 64, 128
"""What an element is wanted for: its value; its value, long or not; its items; being there; its value, which
differs seldom, or always, from slice to slice. The n-th of these two kinds together has its role plus n."""

(
    STATUS,
    NEED,
    BEGIN,
    IMPLICIT,
    BIG,
    SYNTAX_AT,
    SYNTAX_BYTES,
    CLASS_AT,
    CLASS_BYTES,
    PIXEL_TAG,
    PIXEL_TYPE,
    PIXEL_AT,
    PIXEL_BYTES,
    END,
    RECORDS,
    KEY_BYTES,
    SELDOM_BYTES,
    SLOTS,
) = range(18)
"""Places of a pass's result. ``END`` is where the pass ended. From ``SLOTS`` on: offset and length of each element of
the two varying kinds, length -1 without it."""

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_CHARACTER_SETS = 0x00080005
_FIRST_GROUP, _LAST_FIRST_ELEMENT = 8, 0x3000
_MEDIA_CLASS, _MEDIA_SYNTAX, _META_LENGTH = 0x00020002, 0x00020010, 0x00020000
_FIRST_PIXELS, _LAST_PIXELS = 0x7FE00008, 0x7FE00010
_SQ, _UI, _UL, _CS, _UN = (type_number(letters) for letters in ("SQ", "UI", "UL", "CS", "UN"))
_PREFIX_AT, _META_AT, _LEAST_HEAD_BYTES = 128, 132, 144
_PREFIX = tuple(b"DICM")
_BIG_ENDIAN = tuple(b"1.2.840.10008.1.2.2")
_DEFLATED_SYNTAX = tuple(b"1.2.840.10008.1.2.1.99")
_FILE, _INFLATED, _TAIL = 0, 1, 2
_LEAST_SWAPPED, _MOST_LEVELS, _UNWANTED = 4, 32, -1
_MOST_LEAF_BYTES = 65_534
_STEP_BYTES, _MOST_RECORDS, _MOST_KEY_BYTES = 4096, 1 << 16, 1 << 14


class HeadWalk:
    """The pass over heads, with its working space.

    Parameters
    ----------
    wanted : sequence of int
        Tags to be recorded, ascending.
    roles : sequence of int
        What each is wanted for.
    sequences : sequence of int
        Tags of the dictionary that are sequences, ascending; an implicit encoding does not say it.
    """

    def __init__(self, wanted: Sequence[int], roles: Sequence[int], sequences: Sequence[int]) -> None:
        self._wanted, self._roles, self._sequences = (np.array(table, np.int64) for table in (wanted, roles, sequences))
        self._records = np.zeros((_MOST_RECORDS, 5), np.int64)
        self._key, self._seldom = np.zeros((2, _MOST_KEY_BYTES), np.uint8)
        self._result = np.zeros(SLOTS + 2 * sum(role >= SELDOM for role in roles), np.int64)

    def file(self, head: bytes, size: int, /, *, is_inflated: bool = False) -> list[int]:
        """Walk the head of a file that has a preamble and file meta information, or neither.

        Parameters
        ----------
        head : bytes
            The file's first bytes.
        size : int
            Bytes of the whole file.
        is_inflated : bool
            What the meta information calls deflated has been inflated.

        Returns
        -------
        list of int
            See ``STATUS`` and the places after it. With ``MORE``, ``NEED`` is the number of
            first bytes that are wanted.
        """
        return self._walked(head, size, _INFLATED if is_inflated else _FILE)

    def tail(self, data: bytes, /, *, implicit: bool, big: bool) -> list[int]:
        """Walk the elements that follow the pixels, to the end of the file; nothing is recorded."""
        self._result[IMPLICIT], self._result[BIG] = implicit, big
        return self._walked(data, len(data), _TAIL)

    def records(self, count: int) -> list[list[int]]:
        """Return the records of the last pass."""
        found: list[list[int]] = self._records[:count].tolist()
        return found

    def key(self, count: int) -> bytes:
        """Return what the last pass saw of all wanted elements at the top, without the values of the varying ones."""
        return self._key[:count].tobytes()

    def seldom(self, count: int) -> bytes:
        """Return what the last pass saw of the elements that vary seldom."""
        return self._seldom[:count].tobytes()

    def _walked(self, data: bytes, size: int, part: int) -> list[int]:
        _walk(
            np.frombuffer(data, np.uint8),
            size,
            part,
            self._wanted,
            self._roles,
            self._sequences,
            self._records,
            self._key,
            self._seldom,
            self._result,
        )
        found: list[int] = self._result.tolist()
        return found


@njit(cache=True, nogil=True)
def _walk(  # noqa: PLR0917  # Numba has no keyword-only parameters
    data: Bytes,
    size: int,
    part: int,
    wanted: Integers,
    roles: Integers,
    sequences: Integers,
    records: Integers,
    key: Bytes,
    seldom: Bytes,
    result: Integers,
) -> None:
    implicit, big = result[IMPLICIT] != 0, result[BIG] != 0
    result[:] = 0
    for slot in range(SLOTS + 1, result.size, 2):
        result[slot] = -1
    begin = np.int64(0)
    if part != _TAIL:
        result[STATUS] = _meta(data, size, part == _INFLATED, result)
        begin = result[BEGIN]
        if result[STATUS] != COMPLETE:
            return
        implicit = not are_letters(u16(data, begin + 4, LITTLE))
        big = says(data, result[SYNTAX_AT], result[SYNTAX_BYTES], _BIG_ENDIAN)
        is_sure = True
        if result[SYNTAX_BYTES] == 0:
            # nothing says it: a group that is low if its highest byte comes first
            big = data[begin] == 0
            is_sure = big == (data[begin + 1] >= _LEAST_SWAPPED)
        if not is_sure or tag_at(data, begin, big) < 0x00040000 or (big and implicit):
            result[STATUS] = UNSURE
            return
    result[IMPLICIT], result[BIG] = implicit, big
    # what follows the pixels has higher tags
    last = _LAST_PIXELS if part == _TAIL else -1
    result[STATUS] = _elements(data, begin, size, last, wanted, roles, sequences, records, key, seldom, result)


@njit(cache=True, nogil=True)
def _meta(data: Bytes, size: int, is_inflated: bool, result: Integers) -> int:  # noqa: C901, FBT001, PLR0911, PLR0912
    """Find where the data set begins, behind the file meta information."""
    if data.size < min(_LEAST_HEAD_BYTES, size):
        return _more(result, 0)
    if data.size < _LEAST_HEAD_BYTES:
        return UNSURE
    if not says(data, _PREFIX_AT, 4, _PREFIX):
        return COMPLETE if _is_first(tag_at(data, 0, data[0] == 0)) else UNSURE
    if u16(data, _META_AT, LITTLE) != 2:
        return UNSURE
    at, last = np.int64(_META_AT), np.int64(-1)
    while True:
        if at + 12 > data.size:
            return UNSURE if data.size >= size else _more(result, at)
        tag = tag_at(data, at, LITTLE)
        if tag >> 16 != 2:
            break
        kind = u16(data, at + 4, LITTLE)
        value = at + (12 if length_bytes(kind) == 4 else 8)
        length = u32(data, at + 8, LITTLE) if length_bytes(kind) == 4 else u16(data, at + 6, LITTLE)
        # of the elements that count, a type that is not their own is for the slower reader
        is_text = tag == _MEDIA_CLASS or tag == _MEDIA_SYNTAX  # noqa: PLR1714  # no sets
        is_own = kind == _UI if is_text else tag != _META_LENGTH or (kind == _UL and length == 4)
        if length_bytes(kind) == 0 or not is_own or tag <= last:
            return UNSURE
        if value + length > size or length > _MOST_LEAF_BYTES:
            return UNSURE
        if value + length > data.size:
            return _more(result, value + length)
        if tag == _MEDIA_CLASS:
            result[CLASS_AT], result[CLASS_BYTES] = value, length
        if tag == _MEDIA_SYNTAX:
            result[SYNTAX_AT], result[SYNTAX_BYTES] = value, length
        last, at = tag, value + length
    result[BEGIN] = at
    if result[SYNTAX_AT] > 0 and result[SYNTAX_BYTES] == 0:
        return UNSURE
    is_deflated = says(data, result[SYNTAX_AT], result[SYNTAX_BYTES], _DEFLATED_SYNTAX)
    return DEFLATED if is_deflated and not is_inflated else COMPLETE


@njit(cache=True, nogil=True)
def _is_first(tag: Integer) -> Integer:
    """Tell whether an element is one that data sets begin with, where there is no preamble before it."""
    return tag >> 16 == _FIRST_GROUP and tag & 0xFFFF <= _LAST_FIRST_ELEMENT


@njit(cache=True, nogil=True)
def _more(result: Integers, need: Integer) -> int:
    result[NEED] = need + _STEP_BYTES
    return MORE


# One function: to hand the arrays to another for each element takes ten times as long as the pass.
@njit(cache=True, nogil=True)
def _elements(  # noqa: C901, PLR0911, PLR0912, PLR0915, PLR0917
    data: Bytes,
    begin: Integer,
    size: int,
    last_tag: int,
    wanted: Integers,
    roles: Integers,
    sequences: Integers,
    records: Integers,
    key: Bytes,
    seldom: Bytes,
    result: Integers,
) -> int:
    implicit, big, n_there = result[IMPLICIT] != 0, result[BIG] != 0, data.size
    # of the open levels, sequences and items in turn: where it ends (-1: with a delimiter), whether it is an item,
    # its record, its last tag
    ends, rows = np.full(_MOST_LEVELS, -1, np.int64), np.full(_MOST_LEVELS, -1, np.int64)
    is_item, lasts = np.zeros(_MOST_LEVELS, np.bool_), np.full(_MOST_LEVELS, -1, np.int64)
    is_item[0], lasts[0] = True, last_tag
    depth, at, n_records, n_key, n_seldom, n_passed = 0, begin, 0, 0, 0, 0
    opened_at, sets_at, sets_bytes = 0, 0, 0
    while True:
        # leave what ends here
        was_inside = depth > 0
        while depth > 0 and ends[depth] >= 0 and at >= ends[depth]:
            if at > ends[depth]:
                return UNSURE
            depth -= 1
        if was_inside and depth == 0 and rows[1] >= 0:
            n_key = added(key, n_key, records[rows[1], TAG], _SQ, data, opened_at, at - opened_at)
        if depth == 0 and at == size:
            break
        if at + 12 > n_there and n_there < size:
            return _more(result, at)
        if at + 8 > n_there:
            return UNSURE
        tag = tag_at(data, at, big)

        if not is_item[depth]:
            length = u32(data, at + 4, big)
            at += 8
            if tag == _SEQUENCE_END and ends[depth] < 0 and length == 0:
                # an end of its own is left like one that is counted
                ends[depth] = at
                continue
            end = -1 if length == UNDEFINED else at + length
            if tag != _ITEM or depth + 1 >= _MOST_LEVELS or not is_within(end, size, ends[depth]):
                return UNSURE
            row = -1
            if rows[depth] >= 0:
                row = record(records, n_records, -1, 0, at, 0, rows[depth])
                if row < 0:
                    return UNSURE
                n_records += 1
            depth += 1
            ends[depth], is_item[depth], rows[depth], lasts[depth] = end, True, row, -1
            continue
        if tag == _ITEM_END and depth > 0 and ends[depth] < 0 and u32(data, at + 4, big) == 0:
            at += 8
            ends[depth] = at
            continue

        # an element: its type and its length
        if tag <= lasts[depth] or tag >> 16 == 0xFFFE or tag >> 16 == 0:
            return UNSURE
        lasts[depth] = tag
        if implicit:
            kind, length, at = 0, u32(data, at + 4, big), at + 8
        else:
            kind = u16(data, at + 4, LITTLE)
            n_length = length_bytes(kind)
            if n_length == 0 or (n_length == 4 and at + 12 > n_there):
                return UNSURE
            if n_length == 4:
                length, at = u32(data, at + 8, big), at + 12
            else:
                length, at = u16(data, at + 6, big), at + 8
        if depth == 0 and _FIRST_PIXELS <= tag <= _LAST_PIXELS:
            result[PIXEL_TAG], result[PIXEL_TYPE], result[PIXEL_AT], result[PIXEL_BYTES] = tag, kind, at, length
            break
        if tag == _CHARACTER_SETS:
            # those of an item must be those of the whole data set
            if not implicit and kind != _CS and kind != _UN:  # noqa: PLR1714  # no sets
                return UNSURE
            if depth == 0:
                sets_at, sets_bytes = at, length
            elif length != sets_bytes:
                return UNSURE
            elif at + length > n_there:
                return _more(result, at + length) if n_there < size else UNSURE
            elif not are_equal(data, at, sets_at, length):
                return UNSURE

        place = -1
        if depth == 0:
            # tags ascend, and so do the wanted ones
            while n_passed < wanted.size and wanted[n_passed] < tag:
                n_passed += 1
            if n_passed < wanted.size and wanted[n_passed] == tag:
                place = n_passed
        elif rows[depth] >= 0:
            place = place_of(wanted, tag)
        role = roles[place] if place >= 0 else _UNWANTED
        is_nested = role == SEQUENCE or role == PRESENCE  # noqa: PLR1714  # no sets
        row = -1
        if place >= 0:
            # a sequence says that it is one, and nothing else does
            if (not implicit and (kind == _SQ) != is_nested) or (length == UNDEFINED and not is_nested):
                return UNSURE
            row = record(records, n_records, place, kind, at, length, rows[depth])
            if row < 0:
                return UNSURE
            n_records += 1

        if length == UNDEFINED or (role == SEQUENCE and length > 0):
            if length == UNDEFINED and implicit and tag >> 16 & 1:
                # of a private element nothing says what it is but an item at its beginning
                if at + 4 > n_there:
                    return _more(result, at) if n_there < size else UNSURE
                if tag_at(data, at, big) != _ITEM:
                    return UNSURE
            elif length == UNDEFINED and (place_of(sequences, tag) < 0 if implicit else kind != _SQ):
                return UNSURE
            end = -1 if length == UNDEFINED else at + length
            if depth + 1 >= _MOST_LEVELS or not is_within(end, size, ends[depth]):
                return UNSURE
            if depth == 0:
                opened_at = at
                if role == PRESENCE:
                    n_key = added(key, n_key, place, kind, data, at, 0)
            depth += 1
            ends[depth], is_item[depth], rows[depth] = end, False, row if role == SEQUENCE else -1
            continue

        # a value
        end = at + length
        if not is_within(end, size, ends[depth]):
            return UNSURE
        if place >= 0 and not is_nested and role != BULK and length > _MOST_LEAF_BYTES:
            return UNSURE
        if end > n_there:
            return _more(result, end)
        if depth == 0 and place >= 0:
            n_key = added(key, n_key, place, kind, data, at, length if role == LEAF else 0)
            if role >= SELDOM:
                slot = SLOTS + 2 * (role - (VARYING if role >= VARYING else SELDOM))
                result[slot], result[slot + 1] = at, length
                if role < VARYING:
                    n_seldom = added(seldom, n_seldom, place, kind, data, at, length)
        at = end
    result[END], result[RECORDS] = at, n_records
    result[KEY_BYTES], result[SELDOM_BYTES] = n_key if n_seldom >= 0 else -1, n_seldom
    return COMPLETE

"""What became of files, found as a run finds it, and held against what must be told of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from medpipe.archive.alike import alike
from medpipe.archive.assemble import Outcome, assemble
from medpipe.archive.duplicates import Looks
from medpipe.archive.header import Header, read_header
from medpipe.archive.pixels import pixel_digest
from medpipe.archive.stacks import Stack
from medpipe.archive.voxels import load_volume
from medpipe.errors import Rejected
from medpipe.keys import bytes_digest
from medpipe.types import Volume
from tests.faults.series import Series

Judgement = Literal["right", "otherwise", "silent"]

PLAIN = frozenset({"regular", "single", "planar", "colour", "multiframe"})
"""Verdicts that warn of nothing."""

_NEAR_MM = 1e-3


@dataclass(frozen=True)
class Found:
    """Headers, stacks, outcomes and voxels of some files.

    Headers and stacks go through JSON between the steps, as they do between processes.
    """

    files: Mapping[str, bytes]
    headers: dict[str, Header] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the headers."""
        for path, data in self.files.items():
            header = read_header(data, path=path, size=len(data), version="1")
            self.headers[path] = alike(Header.from_line(header.to_line()))

    @cached_property
    def _assembled(self) -> tuple[list[Stack], dict[str, Outcome]]:
        assembly = assemble(
            list(self.headers.values()),
            Looks(lambda path: bytes_digest(self.files[path]), lambda path: pixel_digest(self.files[path])),
        )
        stacks = [Stack.from_json(json.loads(json.dumps(stack.to_json()))) for stack in assembly.stacks]
        return stacks, dict(assembly.outcomes)

    @property
    def stacks(self) -> list[Stack]:
        """All stacks, refused ones among them."""
        return self._assembled[0]

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """One for every path."""
        return self._assembled[1]

    @cached_property
    def volumes(self) -> list[tuple[Stack, Volume]]:
        """Stacks that became volumes."""
        return [(stack, one) for stack, one in zip(self.stacks, self._loaded, strict=True) if isinstance(one, Volume)]

    @cached_property
    def codes(self) -> list[str]:
        """Codes of stacks that became no volume."""
        return [one for one in self._loaded if isinstance(one, str)]

    @cached_property
    def _loaded(self) -> list[Volume | str]:
        return [self._load(stack) for stack in self.stacks]

    def _load(self, stack: Stack) -> Volume | str:
        try:
            return load_volume(stack, self.headers, self.files.__getitem__)[0]
        except Rejected as rejected:
            return rejected.code

    def warns(self) -> bool:
        """Tell whether anything at all is said of these files."""
        said = any(outcome.code for outcome in self.outcomes.values())
        flagged = any(stack.flags or stack.verdict not in PLAIN for stack in self.stacks)
        return said or flagged or bool(self.codes)

    def with_code(self, *codes: str) -> set[str]:
        """Return the paths whose outcome has one of the codes."""
        return {path for path, outcome in self.outcomes.items() if outcome.code in codes}


Check = Callable[[Found], bool]


@dataclass(frozen=True)
class Planted:
    """Files with a fault, and the check of what is told of them.

    Attributes
    ----------
    files : mapping of str to bytes
    check : callable
        Whether all that is told is right.
    n_volumes : int
        Volumes there would be without the fault: more of them are told apart.
    """

    files: Mapping[str, bytes]
    check: Check
    n_volumes: int = 1


def judge(planted: Planted) -> Judgement:
    """Return whether the fault was told rightly, told otherwise, or taken without a word."""
    found = Found(planted.files)
    if planted.check(found):
        return "right"
    return "otherwise" if found.warns() or len(found.volumes) != planted.n_volumes else "silent"


def is_volume(stack: Stack, volume: Volume, series: Series, kept: Sequence[int] | None = None) -> bool:
    """Tell whether voxels and geometry are those of a series, or of the slices of it that are kept."""
    indices = list(range(len(series))) if kept is None else list(kept)
    values = series.values()[..., indices, :, :]
    if volume.data.shape != values.shape or not np.array_equal(volume.data, values):
        return False
    if stack.affine_lps is None or stack.spacing_mm is None:
        return False
    affine = series.affine()
    affine[:3, 3] = series.places[indices[0]]
    if len(indices) > 1:
        affine[:3, 2] = (series.places[indices[-1]] - series.places[indices[0]]) / (len(indices) - 1)
    else:
        affine[:3, 2] = series.turn[2] * series.spacing_mm[0]
    corners = np.array([[i, j, k, 1] for i in (0, 20) for j in (0, 20) for k in (0, len(indices) - 1)]).T
    near = np.abs((np.array(stack.affine_lps).reshape(4, 4) - affine) @ corners).max() < _NEAR_MM
    step = float(affine[:3, 2] @ series.turn[2])
    return bool(near and np.allclose(stack.spacing_mm, (step, *series.spacing_mm[1:]), atol=1e-5))


def harmless(series: Series, *, duplicates: Iterable[str] = (), skipped: Iterable[str] = ()) -> Check:
    """Return the check that one plain volume equals the sound series, copies and strange files set aside."""
    expected = dict.fromkeys(duplicates, ("duplicate", "E_DUP_UID_SAME"))
    expected |= dict.fromkeys(skipped, ("skipped", "E_NOT_DICOM"))

    def check(found: Found) -> bool:
        plain = len(found.stacks) == len(found.volumes) == 1 and not found.stacks[0].flags
        if not plain or found.stacks[0].verdict != "regular":
            return False
        outcomes = {path: expected.get(path, ("used", "")) for path in found.files}
        # of several encodings of one image any may be the one that is read
        same = sorted(map(tuple, found.outcomes.values())) == sorted(outcomes.values())
        return same and is_volume(*found.volumes[0], series)

    return check


def refused(*codes: str) -> Check:
    """Return the check that no volume is made, for these reasons."""

    def check(found: Found) -> bool:
        said = {*found.codes, *(outcome.code for outcome in found.outcomes.values() if outcome.outcome != "used")}
        return not found.volumes and bool(said) and said <= set(codes)

    return check


def flagged(series: Series, code: str, *, verdict: str = "regular", unit: str | None = None) -> Check:
    """Return the check that the whole volume is made, with this reason first and this verdict."""

    def check(found: Found) -> bool:
        if len(found.stacks) != 1 or len(found.volumes) != 1:
            return False
        stack, volume = found.volumes[0]
        said = stack.flags[:1] == (code,) and stack.code == code and stack.verdict == volume.verdict == verdict
        return said and unit in {None, volume.unit} and is_volume(stack, volume, series)

    return check


def without(series: Series, gone: Iterable[int], *codes: str, apart: Check | None = None) -> Check:
    """Return the check that the rest is right without some slices, and says which are missing.

    Parameters
    ----------
    series : Series
    gone : iterable of int
        Slices that are not in the volume.
    codes : str
        Reasons given for the files that are not used, each at least once.
    apart : callable, optional
        What must hold beside.
    """
    lost = sorted(set(gone))
    kept = [index for index in range(len(series)) if index not in lost]
    inner = [index for index in lost if kept[0] < index < kept[-1]]

    def check(found: Found) -> bool:
        volumes = [(stack, volume) for stack, volume in found.volumes if len(stack.members) == len(kept)]
        said = {*found.codes, *(outcome.code for outcome in found.outcomes.values())} - {""}
        if len(volumes) != 1 or not set(codes) <= said or (apart is not None and not apart(found)):
            return False
        stack, volume = volumes[0]
        return is_volume(stack, volume, series, kept) and _tells_gaps(stack, series.along_mm[inner])

    return check


def tells_strays(found: Found) -> bool:
    """Tell whether the one stack of several slices says that others may be missing at its ends."""
    (stack,) = [one for one in found.stacks if one.shape[-3] > 1]
    return "W_STRAYS" in stack.flags and stack.code in {"W_STRAYS", "E_GAP", "W_COUNT"}


def split_off(series: Series, *others: tuple[Series, Sequence[int]]) -> Check:
    """Return the check that slices are volumes of their own: of each series those that are named.

    ``series`` is the sound one all slices were first of; its slices that no other names must be
    a volume that says what is missing between them.
    """
    gone = [index for _, indices in others for index in indices]

    def apart(found: Found) -> bool:
        return len(found.volumes) == 1 + len(others) and all(
            any(is_volume(stack, volume, other, indices) for stack, volume in found.volumes)
            for other, indices in others
        )

    return without(series, gone, apart=apart)


def _tells_gaps(stack: Stack, missing_mm: np.ndarray) -> bool:
    if not len(missing_mm):
        return stack.verdict == "regular" and not set(stack.flags) & {"E_GAP", "W_UNEVEN"} and not stack.missing_mm
    told = stack.verdict == "missing_slices" and "E_GAP" in stack.flags and stack.missing_mm is not None
    return told and len(stack.missing_mm) == len(missing_mm) and np.allclose(stack.missing_mm, missing_mm, atol=1e-3)

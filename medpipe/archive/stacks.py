"""A stack: the frames of one series that belong in one array, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from medpipe.archive.frames import Plane
from medpipe.archive.header import Header
from medpipe.archive.vendor import Mosaic
from medpipe.keys import digest
from medpipe.types import Geometry, Kind
from medpipe.values import SuvScales


class Member(NamedTuple):
    """A frame of a file; frame -1 is all frames of the file in stored order."""

    path: str
    frame: int


class Slice(NamedTuple):
    """A frame with the header of its file and what it says of itself."""

    header: Header
    frame: int
    plane: Plane

    @property
    def member(self) -> Member:
        """The frame's name."""
        return Member(self.header.path, self.frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Frames that make one array.

    Attributes
    ----------
    kind : Kind
    modality, study_uid, series_uid, patient_id, frame_of_reference_uid : str
        Raw values; private.
    discriminator : str
        Tells the stacks of one series apart; made of attributes, never of file names.
    members : tuple of Member
        In array order: t outer, z inner. One member with frame -1 stands for all frames of a
        file in stored order; a member of a mosaic stands for a sheet.
    shape, axes
        Of the array: ``zyx``, ``tzyx`` or ``czyx``.
    spacing_mm : (float, float, float) or None
        Step along (z, y, x); z along the slice normal. Where ``thickness_known`` is false
        z is nominally 1 mm.
    affine_lps : tuple of 16 float or None
    slice_positions_mm : tuple of float or None
        Along the normal, where steps are uneven or slices are missing.
    missing_mm : tuple of float or None
        Positions along the normal at which slices are missing; None where nothing is known of it.
    tilt_deg : float or None
        Angle between the step and the normal, where the stack is sheared.
    verdict : str
        ``regular``, ``tilted``, ``uneven``, ``missing_slices``, ``single``, ``planar``,
        ``colour``, ``multiframe``, ``segmentation`` or ``refused``.
    code : str
        Reason code, or an empty string.
    flags : tuple of str
        All reason codes that are true of the stack, ``code`` first.
    lossy : bool
        Any member went through lossy compression.
    unit : str
        Unit the header claims: ``HU``, ``BQML``, ``SUV`` or ``arbitrary``.
    values : str
        What stored numbers go through: ``stored`` (nothing), ``rescale`` (slope and intercept)
        or ``table`` (modality LUT).
    padding : tuple of (float or None) or None
        Lowest and highest value of the array that the header calls padding; a pair for each
        member where they differ, two None for one without.
    real_world_map : bool
        A header maps stored to real-world values, or scales a dose grid; that is not applied.
    monochrome1 : bool
        A header says that low values are shown bright; values keep their polarity.
    mosaic : Mosaic or None
        How to unpack each member.
    n_source_bytes : int
        Bytes of the files, each counted once.
    suv : SuvScales or None
        What the values of a PET are multiplied with to become uptake; private.
    """

    kind: Kind
    modality: str
    study_uid: str
    series_uid: str
    patient_id: str
    discriminator: str
    members: tuple[Member, ...]
    shape: tuple[int, ...]
    axes: str = "zyx"
    spacing_mm: tuple[float, float, float] | None = None
    thickness_known: bool = True
    affine_lps: tuple[float, ...] | None = None
    slice_positions_mm: tuple[float, ...] | None = None
    missing_mm: tuple[float, ...] | None = None
    tilt_deg: float | None = None
    frame_of_reference_uid: str = ""
    verdict: str = "regular"
    code: str = ""
    flags: tuple[str, ...] = ()
    lossy: bool = False
    unit: str = "arbitrary"
    values: str = "stored"
    padding: tuple[float | None, ...] | None = None
    real_world_map: bool = False
    monochrome1: bool = False
    mosaic: Mosaic | None = None
    n_source_bytes: int = 0
    suv: SuvScales | None = None

    @property
    def identity(self) -> str:
        """Stable name of the stack: a digest of its series and what tells it apart; private."""
        owner = [] if self.series_uid else [self.patient_id]
        return digest([self.study_uid, self.series_uid, self.discriminator, *owner])

    @property
    def refused(self) -> bool:
        """Whether no array can be made of the members."""
        return self.verdict == "refused"

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, each once, in the order of the members."""
        return tuple(dict.fromkeys(member.path for member in self.members))

    def geometry(self, frame_of_reference_key: str | None = None) -> Geometry:
        """Return where the voxels are; the key is the caller's pseudonym."""
        return Geometry(
            shape=self.shape,
            axes=self.axes,
            spacing_mm=self.spacing_mm,
            affine_lps=self.affine_lps,
            slice_positions_mm=self.slice_positions_mm,
            frame_of_reference_key=frame_of_reference_key,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the stack as JSON values."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        mosaic = None if self.mosaic is None else self.mosaic.to_json()
        suv = None if self.suv is None else self.suv.to_json()
        return {**plain, "members": [list(member) for member in self.members], "mosaic": mosaic, "suv": suv}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Stack:
        """Read what :meth:`to_json` wrote, or its copy through JSON."""
        plain: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in found.items()}
        plain["members"] = tuple(Member(str(path), int(frame)) for path, frame in found["members"])
        plain["mosaic"] = None if found["mosaic"] is None else Mosaic.from_json(found["mosaic"])
        plain["suv"] = None if found.get("suv") is None else SuvScales.from_json(found["suv"])
        return cls(**plain)


def owner_of(header: Header) -> dict[str, Any]:
    """Return the fields of a stack that say whose it is."""
    return {
        "modality": header.modality,
        "study_uid": header.study_uid,
        "series_uid": header.series_uid,
        "patient_id": header.patient_id,
    }


def unit_of(header: Header) -> str:
    """Return the unit the header claims for rescaled values."""
    if header.modality == "CT":
        named = header.rescale_type.upper()
        # "US" (unspecified) is common for plain CT; on a derived map it is meant
        derived = "DERIVED" in header.top.image_type[:1] or bool(header.frames)
        return "HU" if named in {"", "HU"} or (named == "US" and not derived) else "arbitrary"
    if header.modality == "PT":
        return {"BQML": "BQML", "GML": "SUV"}.get(header.units.upper(), "arbitrary")
    return "arbitrary"

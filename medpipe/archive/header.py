"""A file's header as a plain record: all that assembly, facts and loading need.

A :class:`Header` holds raw identifiers and free text. It is private: stored encrypted, never
logged, never published.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from medpipe.archive.closed import DICOMDIR, RTSTRUCT_CLASS, SEG_CLASSES, closed_modality
from medpipe.archive.detector import detector_spacing
from medpipe.archive.drawn import Named
from medpipe.archive.elements import integer, items, numbers, parse, quiet, text
from medpipe.archive.facts import read_facts
from medpipe.archive.frames import Plane, frame_planes, top_plane
from medpipe.archive.gate import Layout, inspect
from medpipe.archive.integers import Integer
from medpipe.archive.limits import NATIVE, RLE, check_pixels, colours_of, decoded_bytes
from medpipe.archive.lossy import is_lossy
from medpipe.archive.mapped import has_maps
from medpipe.archive.other.block import Block
from medpipe.archive.padding import read_padding
from medpipe.archive.pet import Pet, read_pet
from medpipe.archive.references import references
from medpipe.archive.source import changed_at
from medpipe.archive.unreadable import unreadable_code
from medpipe.archive.vendor import Mosaic, is_mosaic, read_mosaic

_VIDEO_SYNTAXES: Final = "1.2.840.10008.1.2.4.10"
"""What the syntaxes of MPEG-2, MPEG-4 and HEVC films begin with (.100 to .108)."""
_THREE: Final = ("RGB", "YBR", "HSV", "ARGB", "CMYK")


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a file says of itself.

    Attributes
    ----------
    path, size, version : str, int, str
        As the source gave them.
    code : str
        Reason the file cannot be used as an image, or an empty string. Never raised.
    head_digest : str
        SHA-256 of the first ``head_bytes`` of the file and of its size.
    head_bytes : int
        Where the pixels begin; the whole file where there are none, they are deflated, or the file
        is a segmentation or has no SOPInstanceUID.
    pixel_keyword, pixel_bytes, pixel_offset, n_fragments
        Which pixel element there is, its bytes, where in the file they begin (-1: they are deflated, or
        there are none), its fragments (-1: not encapsulated).
    top : Plane
        What the top level says of the image.
    frames : tuple of Plane
        One per frame where functional groups place the frames; else empty.
    n_groups : int
        Per-frame functional groups.
    n_slices : int or None
        Slices the header counts in each volume (PET).
    padding : tuple of 2 float or empty
        Lowest and highest stored value that is padding, as decoded.
    has_table, has_real_world_map : bool
        There is a modality LUT; a real-world value map, or the scaling of a dose grid.
    mosaic : Mosaic or None
        How to unpack the sheet; ``is_mosaic`` without it means it cannot be.
    frame_offsets_mm : tuple of float
        Grid frame offset vector of a dose grid.
    referenced_series, referenced_frames_of_reference, referenced_instances : tuple of str
        UIDs a segmentation or structure set was made on.
    structures : tuple of Named
        What a segmentation or structure set names.
    made_at : str
        When a segmentation or structure set says it was made: digits of date and time.
    format : str
        What a file that is not DICOM is (``nifti``, ``nrrd``, ``png``, ...); nothing for DICOM.
    block : Block or None
        Where the voxels of a volume that is not DICOM are.
    notes : tuple of str
        Reason codes of what somebody should know of a file that is used.
    is_mask : bool
        A rule or a case list says that this file holds regions of another image.
    labels : tuple of int
        Values of a mask that are regions; none: all but 0.
    facts : dict
        Equipment, patient and protocol values for :mod:`medpipe.archive.series`.
    pet : Pet or None
        What the uptake of a PET image is computed of.
    like : str
        Digest of all that slices have in common, where that is known: see :mod:`medpipe.archive.alike`.
    """

    path: str
    size: Integer
    version: str
    code: str = ""
    head_digest: str = ""
    head_bytes: Integer = 0
    transfer_syntax: str = ""
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    study_uid: str = ""
    series_uid: str = ""
    patient_id: str = ""
    frame_of_reference_uid: str = ""
    modality: str = ""
    rows: Integer = 0
    columns: Integer = 0
    samples: Integer = 1
    bits_allocated: Integer = 0
    bits_stored: Integer = 0
    high_bit: Integer = 0
    signed: bool = False
    photometric: str = ""
    n_frames: Integer = 1
    pixel_keyword: str = ""
    pixel_bytes: Integer = 0
    pixel_offset: Integer = -1
    n_fragments: Integer = -1
    lossy: bool = False
    instance_number: Integer | None = None
    acquisition_number: Integer | None = None
    units: str = ""
    rescale_type: str = ""
    top: Plane = Plane()
    frames: tuple[Plane, ...] = ()
    n_groups: Integer = 0
    n_slices: Integer | None = None
    padding: tuple[float, ...] = ()
    has_table: bool = False
    has_real_world_map: bool = False
    is_mosaic: bool = False
    mosaic: Mosaic | None = None
    detector_spacing_mm: tuple[float, ...] = ()
    frame_offsets_mm: tuple[float, ...] = ()
    referenced_series: tuple[str, ...] = ()
    referenced_frames_of_reference: tuple[str, ...] = ()
    referenced_instances: tuple[str, ...] = ()
    structures: tuple[Named, ...] = ()
    made_at: str = ""
    format: str = ""
    block: Block | None = None
    notes: tuple[str, ...] = ()
    is_mask: bool = False
    labels: tuple[int, ...] = ()
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    pet: Pet | None = None
    like: str = ""

    @property
    def content(self) -> str:
        """What the file held when it was read: its head, and where that is not all, when it was changed last."""
        own = self.head_digest[:_CONTENT_DIGITS]
        return own if self.head_bytes >= self.size else f"{own}-{changed_at(self.version)}"

    @property
    def has_pixels(self) -> bool:
        """Whether there is a pixel data element."""
        return bool(self.pixel_keyword)

    @property
    def native_bytes(self) -> int:
        """Bytes of pixel data, not encapsulated, that the header declares."""
        return decoded_bytes(
            rows=self.rows,
            columns=self.columns,
            samples=self.samples,
            bits_allocated=self.bits_allocated,
            n_frames=self.n_frames,
            photometric=self.photometric,
        )

    @property
    def is_colour(self) -> bool:
        """Whether pixels become RGB."""
        return self.samples == 3 or self.photometric == "PALETTE COLOR"

    @property
    def is_segmentation(self) -> bool:
        """Whether this is a DICOM SEG (binary, fractional or label map), or a mask of another format."""
        return self.is_mask or self.sop_class_uid in SEG_CLASSES

    @property
    def is_structure_set(self) -> bool:
        """Whether this is an RTSTRUCT."""
        return self.sop_class_uid == RTSTRUCT_CLASS

    def to_line(self) -> bytes:
        """Return the header as a line of JSON; fields at their default are left out."""
        return _ENCODER.encode(self)

    @classmethod
    def from_line(cls, line: bytes | str) -> Header:
        """Read what :meth:`to_line` wrote; fields of earlier versions are passed over.

        Raises
        ------
        msgspec.DecodeError
            If it is no header.
        """
        return _DECODER.decode(line)


_CONTENT_DIGITS: Final = 32
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Header)


def read_header(data: bytes, *, path: str, size: int, version: str) -> Header:
    """Read a file's header; whatever is wrong becomes ``code``.

    Parameters
    ----------
    data : bytes
        The whole file.
    path, size, version : str, int, str
        Kept in the result.

    Returns
    -------
    Header
        ``code`` is empty for a usable image, and for an object without pixels that is whole.
    """
    layout = inspect(data)
    empty = _placed(Header(path=path, size=size, version=version), data, layout.pixel_offset)
    # a cut file still says whose it is, if its header came through
    if layout.code and not (layout.code == "E_TRUNCATED" and layout.data):
        return replace(empty, code=layout.code, transfer_syntax=layout.transfer_syntax)
    try:
        with quiet():
            header = _read(parse(layout.data), layout, empty)
        if header.is_segmentation or not header.sop_instance_uid:
            # they are few, and copies of them are told by their bytes alone
            header = _placed(header, data, -1)
    except Exception:  # noqa: BLE001  # pydicom raises errors of 19 classes on damaged headers
        return replace(empty, code=layout.code or "E_HEADER", transfer_syntax=layout.transfer_syntax)
    return replace(header, code=layout.code) if layout.code else judged(header, layout)


def header_of(dataset: Any, layout: Layout, **given: Any) -> Header:
    """Return the header of a data set that was read otherwise than by :func:`read_header`.

    Parameters
    ----------
    dataset : pydicom.FileDataset or medpipe.archive.quick.dataset.HeadDataset
    layout : Layout
        Without a code.
    given
        Fields of the header that do not come from the data set.
    """
    return judged(_read(dataset, layout, Header(**given)), layout)


def judged(header: Header, layout: Layout) -> Header:
    """Return a header with the code that its pixel data earns, unless it has one."""
    code = header.code or _code(header, layout)
    return replace(header, code=code) if code else header


def is_unchanged(header: Header, data: bytes | memoryview) -> bool:
    """Tell whether a file's bytes begin as they did when its header was read, and are as many."""
    return len(data) == header.size and head_digest(data[: header.head_bytes], header.size) == header.head_digest


def head_digest(head: bytes | memoryview, size: int) -> str:
    """Return the digest of the first bytes of a file of so many bytes."""
    state = hashlib.sha256(head)
    state.update(b"%d" % size)
    return state.hexdigest()


def _placed(header: Header, data: bytes, pixel_offset: int) -> Header:
    n_bytes = len(data) if pixel_offset < 0 else pixel_offset
    return replace(header, head_bytes=n_bytes, head_digest=head_digest(memoryview(data)[:n_bytes], header.size))


def _read(dataset: Any, layout: Layout, empty: Header) -> Header:
    if text(dataset.file_meta, "MediaStorageSOPClassUID") == DICOMDIR or "DirectoryRecordSequence" in dataset:
        return replace(empty, code="E_DICOMDIR", transfer_syntax=layout.transfer_syntax)
    header, referenced = _described(dataset, layout, empty), references(dataset)
    return replace(header, **referenced) if referenced else header


def _described(dataset: Any, layout: Layout, empty: Header) -> Header:
    plane = top_plane(dataset)
    n_frames = max(integer(dataset, "NumberOfFrames") or 1, 1)
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    bits_allocated = integer(dataset, "BitsAllocated") or 0
    bits_stored = integer(dataset, "BitsStored") or bits_allocated
    high_bit = integer(dataset, "HighBit")
    mosaic = is_mosaic(dataset, plane)
    return replace(
        empty,
        code=unreadable_code(dataset, layout) if layout.pixel_keyword else "",
        transfer_syntax=layout.transfer_syntax or _guessed_syntax(dataset),
        sop_class_uid=text(dataset, "SOPClassUID"),
        sop_instance_uid=text(dataset, "SOPInstanceUID"),
        study_uid=text(dataset, "StudyInstanceUID"),
        series_uid=text(dataset, "SeriesInstanceUID"),
        patient_id=text(dataset, "PatientID"),
        frame_of_reference_uid=text(dataset, "FrameOfReferenceUID"),
        modality=closed_modality(text(dataset, "Modality")),
        rows=rows,
        columns=columns,
        samples=integer(dataset, "SamplesPerPixel") or 1,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if high_bit is None else high_bit,
        signed=integer(dataset, "PixelRepresentation") == 1,
        photometric=text(dataset, "PhotometricInterpretation"),
        n_frames=n_frames,
        pixel_keyword=layout.pixel_keyword,
        pixel_bytes=layout.pixel_bytes,
        pixel_offset=layout.pixel_offset,
        n_fragments=layout.n_fragments,
        lossy=is_lossy(dataset, layout.transfer_syntax),
        instance_number=integer(dataset, "InstanceNumber"),
        acquisition_number=integer(dataset, "AcquisitionNumber"),
        units=text(dataset, "Units"),
        rescale_type=text(dataset, "RescaleType"),
        top=plane,
        frames=() if not layout.pixel_keyword else frame_planes(dataset, n_frames),
        n_groups=len(items(dataset, "PerFrameFunctionalGroupsSequence")),
        n_slices=integer(dataset, "NumberOfSlices"),
        padding=read_padding(dataset),
        has_table="ModalityLUTSequence" in dataset,
        has_real_world_map=has_maps(dataset),
        is_mosaic=mosaic,
        mosaic=read_mosaic(dataset, plane, rows=rows, columns=columns) if mosaic else None,
        detector_spacing_mm=detector_spacing(dataset),
        frame_offsets_mm=numbers(dataset, "GridFrameOffsetVector"),
        facts=read_facts(dataset),
        pet=read_pet(dataset) if layout.pixel_keyword and text(dataset, "Modality") == "PT" else None,
    )


def _format_code(header: Header) -> str:
    """Return the reason why the elements that describe the pixels contradict each other, or nothing."""
    if not header.bits_stored <= header.bits_allocated or not header.bits_stored <= header.high_bit + 1:
        return "E_DIMENSIONS"
    if header.high_bit >= header.bits_allocated or (header.samples == 3) != header.photometric.startswith(_THREE):
        return "E_DIMENSIONS"
    if header.samples == 3 and header.photometric not in colours_of(header.transfer_syntax):
        return "E_COLOUR"
    is_native = header.transfer_syntax in NATIVE
    if is_native and header.n_fragments >= 0:
        return "E_CODEC_ERROR"
    # a run-length encoded frame is one fragment (PS3.5 A.4.2)
    many = header.transfer_syntax == RLE and header.n_fragments > header.n_frames
    grouped = header.n_groups and header.n_groups != header.n_frames and not header.is_segmentation
    return "E_FRAME_COUNT" if many or grouped else ""


def _code(header: Header, layout: Layout) -> str:
    if not header.sop_class_uid:
        return "E_TRUNCATED" if layout.cut else "E_NO_SOP_CLASS"
    if not header.has_pixels:
        return "E_TRUNCATED" if layout.cut else ""
    if layout.cut:
        return "E_TRUNCATED"
    if layout.doubled:
        return "E_DIMENSIONS"
    if header.transfer_syntax.startswith(_VIDEO_SYNTAXES):
        return "S_VIDEO"
    code = check_pixels(
        rows=header.rows,
        columns=header.columns,
        samples=header.samples,
        bits_allocated=header.bits_allocated,
        n_frames=header.n_frames,
        photometric=header.photometric,
        transfer_syntax=header.transfer_syntax,
        pixel_bytes=header.pixel_bytes,
        n_fragments=header.n_fragments,
    )
    return code or _format_code(header)


def _guessed_syntax(dataset: Any) -> str:
    # a file without meta information is one pydicom could only read as one of the native three
    if not dataset.file_meta and hasattr(dataset, "original_encoding"):
        implicit, little = dataset.original_encoding
        if implicit:
            return "1.2.840.10008.1.2"
        return "1.2.840.10008.1.2.1" if little else "1.2.840.10008.1.2.2"
    return ""

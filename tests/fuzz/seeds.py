"""Sound files that mutants are made of: our own in every syntax that can be written here, and small real ones."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    EnhancedMRImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
)

from medpipe.archive.gate import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from medpipe.archive.limits import RLE
from medpipe.archive.source import FolderSource
from medpipe.synth import make_archive
from tests.archive.conftest import make_slice, to_bytes

SMALL_BYTES = 40_000
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS, JPEG_LS_NEAR = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
COMPRESSED = (RLE, JPEG_LS, JPEG_LS_NEAR, JPEG_2000)

_ROWS, _COLUMNS = 33, 40
_GREY = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
_BYTES = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
_RGB = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, **_BYTES}


class Seed(NamedTuple):
    """A sound file, and the code it has nevertheless: of one that is told and holds no image by itself."""

    name: str
    data: bytes
    code: str = ""


def own_seeds(folder: Path) -> list[Seed]:
    """Return files made here; ``folder`` is an empty one to write phantoms into."""
    return [*map(_named, _written()), *_phantoms(folder)]


def real_seeds(data_root: Path) -> list[Seed]:
    """Return the small files of the reference archive, in a stable order, copies left out."""
    source = FolderSource(data_root / "archive")
    found = [item for item in source.scan() if item.problem is None and 200 <= item.size <= SMALL_BYTES]
    # series of hundreds of like files would drown the others
    kept: dict[tuple[str, int], Seed] = {}
    for item in found:
        kept.setdefault((item.path.rpartition("/")[0], item.size // 500), Seed(item.path, source.open(item.path)))
    return list(kept.values())


def _named(made: tuple[str, Dataset]) -> Seed:
    return Seed(f"own/{made[0]}", to_bytes(made[1]))


def pixels(*shape: int, top: int = 4096) -> np.ndarray:
    """Return integers that no codec makes much smaller, and that no shift leaves as they are."""
    return np.random.default_rng(shape).integers(0, top, shape).astype(np.uint16 if top > 256 else np.uint8)


def _written() -> Iterator[tuple[str, Dataset]]:
    grey = pixels(_ROWS, _COLUMNS)
    for name, syntax in {"explicit": EXPLICIT_LITTLE, "implicit": IMPLICIT_LITTLE, "big": EXPLICIT_BIG}.items():
        yield f"native {name}", _in_syntax(_slice(grey), syntax, grey)
    yield "native deflated", _in_syntax(_slice(grey), DEFLATED, grey)
    yield "native signed", _slice(pixels(_ROWS, _COLUMNS).astype(np.int16) - 2000)
    yield "native colour", _colour(pixels(_ROWS, _COLUMNS, 3, top=256))
    yield "native float", _floating()
    for syntax in COMPRESSED:
        yield f"one frame {syntax}", _packed(_slice(grey), syntax)
        yield f"frames {syntax}", _packed(_frames(pixels(3, _ROWS, _COLUMNS)), syntax)
    yield "colour rle", _packed(_colour(pixels(_ROWS, _COLUMNS, 3, top=256)), RLE)
    yield "jpeg grey", _baseline(pixels(_ROWS, _COLUMNS, top=256))
    yield "jpeg colour", _baseline(pixels(_ROWS, _COLUMNS, 3, top=256))
    yield "jpeg lossless", _lossless_jpeg(grey)
    yield "enhanced", _enhanced()
    yield "enhanced packed", _packed(_enhanced(), JPEG_2000)
    yield "palette", _palette()
    yield "modality table", _with_table()
    yield "mosaic", _mosaic()


def _slice(stored: np.ndarray, **elements: Any) -> Dataset:
    return make_slice(stored, position=(1, 2, 3), InstanceNumber=1, **elements)


def _in_syntax(dataset: Dataset, syntax: str, stored: np.ndarray) -> Dataset:
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == EXPLICIT_BIG:
        dataset.PixelData = stored.astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
    return dataset


def _packed(dataset: Dataset, syntax: str) -> Dataset:
    options = {RLE: {"encoding_plugin": "pydicom"}, JPEG_LS_NEAR: {"jls_error": 2}}
    dataset.compress(syntax, **options.get(syntax, {}))
    return dataset


def _frames(stored: np.ndarray) -> Dataset:
    return make_slice(
        stored[0],
        SOPClassUID=MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        NumberOfFrames=len(stored),
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        PixelData=stored.tobytes(),
    )


def _colour(stored: np.ndarray) -> Dataset:
    place = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
    return make_slice(stored, SOPClassUID=SecondaryCaptureImageStorage, **_RGB, **place)


def _floating() -> Dataset:
    values = pixels(_ROWS, _COLUMNS).astype(np.float32) / 7
    dataset = _slice(pixels(_ROWS, _COLUMNS), SOPClassUID=ParametricMapStorage, BitsAllocated=32, PixelData=None)
    del dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.FloatPixelData = values.tobytes()
    return dataset


def _baseline(stored: np.ndarray) -> Dataset:
    stream = BytesIO()
    Image.fromarray(stored).save(stream, "JPEG", quality=90, subsampling=0)
    return _with_stream(
        make_slice(
            stored,
            SOPClassUID=SecondaryCaptureImageStorage,
            **(_RGB if stored.ndim == 3 else {**_GREY, **_BYTES}),
        ),
        stream.getvalue(),
        JPEG_BASELINE,
        photometric="YBR_FULL_422" if stored.ndim == 3 else "MONOCHROME2",
    )


def _lossless_jpeg(stored: np.ndarray) -> Dataset:
    """Return a slice whose stream GDCM wrote: no encoder of this process is one for it."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "lossless.dcm"
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(path))
        writer.SetImageIO("GDCMImageIO")
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        writer.Execute(sitk.GetImageFromArray(stored))
        written = dcmread(path)
    (stream,) = _streams(written)
    return _with_stream(_slice(stored), stream, JPEG_LOSSLESS)


def _streams(dataset: Dataset) -> list[bytes]:
    from pydicom.encaps import generate_frames

    return list(generate_frames(dataset.PixelData, number_of_frames=1))


def _with_stream(dataset: Dataset, stream: bytes, syntax: str, *, photometric: str = "MONOCHROME2") -> Dataset:
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PhotometricInterpretation = photometric
    dataset.PixelData = encapsulate([stream + b"\0" * (len(stream) % 2)])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    return dataset


def _enhanced() -> Dataset:
    stored = pixels(3, _ROWS, _COLUMNS)
    dataset = make_slice(
        stored[0],
        SOPClassUID=EnhancedMRImageStorage,
        Modality="MR",
        NumberOfFrames=len(stored),
        PixelData=stored.tobytes(),
        **dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope")),
        RescaleIntercept=None,
    )
    dataset.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[_item(PixelSpacing=[0.5, 0.75], SliceThickness=2.0)],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0])],
            PixelValueTransformationSequence=[_item(RescaleSlope=2.0, RescaleIntercept=-5.0, RescaleType="US")],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(
            FrameContentSequence=[_item(StackID="1", InStackPositionNumber=place + 1, DimensionIndexValues=[1, 2])],
            PlanePositionSequence=[_item(ImagePositionPatient=[0.0, 0.0, 2.0 * place])],
        )
        for place in range(len(stored))
    ]
    return dataset


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for keyword, found in elements.items():
        setattr(item, keyword, found)
    return item


def _palette() -> Dataset:
    dataset = make_slice(
        pixels(_ROWS, _COLUMNS, top=256),
        SOPClassUID=SecondaryCaptureImageStorage,
        **{**_GREY, **_BYTES, "PhotometricInterpretation": "PALETTE COLOR"},
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
    )
    for place, colour in enumerate(("Red", "Green", "Blue")):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        table = (np.arange(256) * 257 + place).astype("<u2").tobytes()
        setattr(dataset, f"{colour}PaletteColorLookupTableData", table)
    return dataset


def _with_table() -> Dataset:
    dataset = _slice(pixels(_ROWS, _COLUMNS, top=257), RescaleSlope=None, RescaleIntercept=None)
    table = _item(LUTDescriptor=[300, 0, 16], ModalityLUTType="US", LUTData=list(range(1, 601, 2)))
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    dataset.ModalityLUTSequence = [table]
    return dataset


def _mosaic() -> Dataset:
    dataset = _slice(pixels(24, 32), Modality="MR", ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    dataset.SpacingBetweenSlices = 2.5
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0A, "US", 4)
    return dataset


def _phantoms(folder: Path) -> Iterator[Seed]:
    """Yield one file of each series of a phantom study: CT, MR, PET, radiograph, SEG and RTSTRUCT."""
    truth = make_archive(folder / "phantoms", studies=2, seed=7)
    for study in truth.studies:
        for series in study.series:
            data = (folder / "phantoms" / "archive" / series.files[0]).read_bytes()
            if len(data) <= SMALL_BYTES:
                yield Seed(f"phantom/{study.visit}-{study.patient_id[-3:]}/{series.role}", data)

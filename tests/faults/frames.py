"""Faults of multi-frame objects, of colour images and of floating-point pixels."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from tests.faults.edits import anywhere, edited, garbled, moved, planted, put
from tests.faults.registry import fault, named, sound
from tests.faults.series import Series, to_bytes
from tests.faults.verdicts import Check, Found, Planted, flagged, is_volume, refused


@fault("a slope of zero in a frame", "enhanced")
def frame_zero_slope(series: Series, rng: np.random.Generator) -> Planted:
    changed = _in_frames(series, [anywhere(series, rng)], RescaleSlope="0")
    return planted(changed, rng, refused("E_RESCALE"))


@fault("rescale values of a frame that are no numbers", "enhanced")
def frame_unreadable(series: Series, rng: np.random.Generator) -> Planted:
    changed = _in_frames(series, [anywhere(series, rng)], RescaleSlope="1.503125")
    return Planted(garbled(named(changed, rng), b"1.503125", b"nan     "), refused("E_NONFINITE"))


@fault("no slope in a frame", "enhanced")
def frame_lost_slope(series: Series, rng: np.random.Generator) -> Planted:
    return planted(_in_frames(series, [anywhere(series, rng)], RescaleSlope=None), rng, refused("E_RESCALE"))


@fault("no rescale in any frame", "enhanced")
def frames_without_rescale(series: Series, rng: np.random.Generator) -> Planted:
    changed = _in_frames(series, range(len(series)), RescaleSlope=None, RescaleIntercept=None)
    plain = changed.changed(scales=np.tile([1.0, 0.0], (len(series), 1)))
    return planted(changed, rng, flagged(plain, "W_RESCALE", unit="arbitrary"))


@fault("fewer groups than frames", "enhanced")
def groups_too_few(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    del changed.files[0].PerFrameFunctionalGroupsSequence[anywhere(series, rng)]
    return planted(changed, rng, refused("E_FRAME_COUNT"))


@fault("fewer frames counted than groups and pixels", "enhanced")
def frames_undercounted(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, NumberOfFrames=int(rng.integers(1, len(series)))), rng, refused("E_FRAME_COUNT"))


@fault("more frames counted than groups and pixels", "enhanced")
def frames_overcounted(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, NumberOfFrames=len(series) + 1), rng, refused("E_TRUNCATED", "E_FRAME_COUNT"))


@fault("no number of frames", "enhanced")
def frames_uncounted(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, NumberOfFrames=None), rng, refused("E_FRAME_COUNT"))


@fault("a frame without position", "enhanced")
def frame_unplaced(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    del changed.files[0].PerFrameFunctionalGroupsSequence[anywhere(series, rng)].PlanePositionSequence
    return planted(changed, rng, refused("E_MISSING_TAG"))


@fault("no frame with a position", "enhanced")
def frames_unplaced(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    for group in changed.files[0].PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence
    return planted(changed, rng, refused("E_MISSING_TAG"))


@fault("frames without direction", "enhanced")
def frames_undirected(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    del changed.files[0].SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    return planted(changed, rng, refused("E_MISSING_TAG"))


@fault("frames without spacing", "enhanced")
def frames_unspaced(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    del changed.files[0].SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    return planted(changed, rng, refused("E_SPACING"))


@fault("a map of real-world values in a multi-frame object", "enhanced")
def frames_mapped(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    item = Dataset()
    item.RealWorldValueSlope, item.RealWorldValueIntercept = 0.5, 10.0
    changed.files[0].SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = Sequence([item])

    def check(found: Found) -> bool:
        plain = len(found.stacks) == len(found.volumes) == 1 and found.stacks[0].values == "rescale"
        return plain and found.stacks[0].real_world_map and is_volume(*found.volumes[0], series)

    return planted(changed, rng, check)


@fault("a copy of a multi-frame object with frames elsewhere", "enhanced")
def moved_copy(series: Series, rng: np.random.Generator) -> Planted:
    other = moved(series, series.places + float(rng.uniform(1, 90)) * series.turn[2])
    files = {"one": to_bytes(series.files[0]), "other": to_bytes(other.files[0])}
    return Planted(files, lambda found: found.with_code("E_DUP_UID_DIFF") == {"one", "other"})


# --- pixels that are no integers, and colours -------------------------------------------------


@sound("floating-point pixels", "enhanced")
def float_pixels(series: Series, rng: np.random.Generator) -> Planted:
    values = rng.normal(0, 1e3, series.stored.shape).astype(np.float32)
    changed = _float(series, values)
    return planted(changed, rng, _holds(values))


@fault("floating-point pixels that are not finite", "enhanced")
def nonfinite_pixels(series: Series, rng: np.random.Generator) -> Planted:
    values = rng.normal(0, 1e3, series.stored.shape).astype(np.float32)
    values[anywhere(series, rng), 2, 3] = [np.nan, np.inf, -np.inf][int(rng.integers(3))]
    return planted(_float(series, values), rng, refused("E_NONFINITE"))


@fault("floating-point and whole pixels in one file", "enhanced")
def two_pixel_elements(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    changed.files[0].FloatPixelData = series.stored.astype(np.float32).tobytes()
    return planted(changed, rng, refused("E_DIMENSIONS", "E_CODEC_ERROR"))


@sound("colours pixel by pixel, or plane by plane", "mr")
def colours(series: Series, rng: np.random.Generator) -> Planted:
    rgb = rng.integers(0, 256, (6, 9, 3)).astype(np.uint8)
    by_plane = int(rng.integers(2))
    data = np.ascontiguousarray(np.moveaxis(rgb, -1, 0) if by_plane else rgb).tobytes()
    return _picture(series, rgb, "RGB", data, PlanarConfiguration=by_plane)


@sound("colours as luminance and chrominance", "mr")
def luminance(series: Series, rng: np.random.Generator) -> Planted:
    ybr = rng.integers(16, 240, (6, 9, 3)).astype(np.uint8)
    y, b, r = np.moveaxis(ybr.astype(np.float64), -1, 0) - np.array([0, 128, 128])[:, None, None]
    # PS3.3 C.7.6.3.1.2, solved for the colours
    rgb = np.stack([y + 1.402 * r, y - 0.114 * 1.772 / 0.587 * b - 0.299 * 1.402 / 0.587 * r, y + 1.772 * b], axis=-1)
    return _picture(series, np.clip(rgb, 0, 255), "YBR_FULL", ybr.tobytes(), within=1.0, PlanarConfiguration=0)


@sound("colours out of a palette", "mr")
def palette(series: Series, rng: np.random.Generator) -> Planted:
    tables = rng.integers(0, 65536, (3, 256)).astype(np.uint16)
    stored = rng.integers(0, 256, (6, 8)).astype(np.uint8)
    return _picture(series, (tables[:, stored] >> 8).transpose(1, 2, 0), "PALETTE COLOR", stored.tobytes(), tables)


@fault("a palette shorter than it says", "mr")
def short_palette(series: Series, rng: np.random.Generator) -> Planted:
    tables = rng.integers(0, 65536, (3, 100)).astype(np.uint16)
    stored = rng.integers(0, 256, (6, 8)).astype(np.uint8)
    one = _picture(series, np.zeros((6, 8, 3)), "PALETTE COLOR", stored.tobytes(), tables)
    return Planted(one.files, refused("E_CODEC_ERROR"))


@fault("a palette picture without a palette", "mr")
def no_palette(series: Series, rng: np.random.Generator) -> Planted:
    stored = rng.integers(0, 256, (6, 8)).astype(np.uint8)
    one = _picture(series, np.zeros((6, 8, 3)), "PALETTE COLOR", stored.tobytes())
    return Planted(one.files, refused("E_CODEC_ERROR"))


def _in_frames(series: Series, indices, **elements) -> Series:
    changed = series.changed()
    groups = changed.files[0].PerFrameFunctionalGroupsSequence
    for index in indices:
        put(groups[index].PixelValueTransformationSequence[0], elements)
    return changed


def _float(series: Series, values: np.ndarray) -> Series:
    changed = edited(series, PixelData=None, BitsStored=None, HighBit=None, PixelRepresentation=None)
    changed = _in_frames(changed, range(len(series)), RescaleSlope="1", RescaleIntercept="0")
    changed.files[0].BitsAllocated = 32
    changed.files[0].FloatPixelData = values.tobytes()
    return changed


def _holds(values: np.ndarray) -> Check:
    def check(found: Found) -> bool:
        plain = len(found.stacks) == len(found.volumes) == 1 and not found.stacks[0].flags
        return plain and np.array_equal(found.volumes[0][1].data, values)

    return check


def _picture(
    series: Series, rgb: np.ndarray, name: str, data: bytes, tables=None, *, within: float = 0.0, **elements
) -> Planted:
    """Return a colour picture without a place, and the check that its colours come out."""
    dataset = dcmread(BytesIO(to_bytes(series.files[0])))
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "EchoTime"):
        delattr(dataset, keyword)
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    dataset.Rows, dataset.Columns = rgb.shape[:2]
    dataset.SamplesPerPixel = 1 if name == "PALETTE COLOR" else 3
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = name, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    put(dataset, elements)
    for colour, entries in zip(("Red", "Green", "Blue"), () if tables is None else tables, strict=False):
        dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        dataset.add_new(f"{colour}PaletteColorLookupTableData", "OW", entries.tobytes())
    dataset.PixelData = data
    dataset["PixelData"].VR = "OB"

    def check(found: Found) -> bool:
        plain = len(found.stacks) == len(found.volumes) == 1 and not found.stacks[0].flags
        expected = np.moveaxis(rgb, -1, 0)[:, None]
        return plain and np.abs(found.volumes[0][1].data - expected).max() <= within

    return Planted({"picture": to_bytes(dataset)}, check)

"""Faults of pixels and what turns them into values: rescale, formats, colours, padding, maps."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.faults.edits import anywhere, as_bytes, edited, garbled, inner, one_refused, packed, planted
from tests.faults.registry import fault, named
from tests.faults.series import Series, to_bytes
from tests.faults.verdicts import Found, Planted, flagged, is_volume, refused, without

RESCALED = ("ct", "pet")
RLE, JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"


@fault("no slope in one slice", *RESCALED)
def lost_slope(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(_rescaled(series), [anywhere(series, rng)], RescaleSlope=None)
    return planted(changed, rng, refused("E_RESCALE"))


@fault("no intercept in one slice", *RESCALED)
def lost_intercept(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(_rescaled(series), [anywhere(series, rng)], RescaleIntercept=None)
    return planted(changed, rng, refused("E_RESCALE"))


@fault("an intercept of zero in some CT slices", "ct")
def other_intercepts(series: Series, rng: np.random.Generator) -> Planted:
    scales, shifted = series.scales.copy(), range(int(rng.integers(1, len(series))))
    scales[shifted, 1] = 0
    changed = edited(series, shifted, RescaleIntercept="0").changed(scales=scales)
    return planted(changed, rng, flagged(changed, "W_INTERCEPTS", unit="HU"))


@fault("no rescale at all, where it is required", *RESCALED)
def no_rescale(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, RescaleSlope=None, RescaleIntercept=None)
    plain = changed.changed(scales=np.tile([1.0, 0.0], (len(series), 1)))
    return planted(changed, rng, flagged(plain, "W_RESCALE", unit="arbitrary"))


@fault("a slope of zero in one slice")
def zero_slope(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    slope = ["0", "0.0", "1e-300", "-0"][int(rng.integers(4))]
    changed = edited(series, [index], RescaleSlope=slope, RescaleIntercept="0")
    return planted(changed, rng, without(series, [index], "E_RESCALE"))


@fault("a slope of zero in all slices")
def all_zero_slopes(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, RescaleSlope="0", RescaleIntercept="0"), rng, refused("E_RESCALE"))


@fault("rescale values that are no numbers", *RESCALED)
def unreadable_rescale(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    element = ["RescaleSlope", "RescaleIntercept"][int(rng.integers(2))]
    said = [b"abc     ", b"nan     ", b"-inf    ", b"1,503125", b"1.5.3125"][int(rng.integers(5))]
    files = named(edited(series, [index], **{element: "1.503125"}), rng)
    return Planted(garbled(files, b"1.503125", said), without(series, [index], "E_NONFINITE"))


@fault("two slopes in one element", *RESCALED)
def two_slopes(series: Series, rng: np.random.Generator) -> Planted:
    return one_refused(series, rng, "E_RESCALE", RescaleSlope=["1", "2"])


@fault("a slope of the other sign in one slice", *RESCALED)
def turned_slope(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    changed = edited(series, [index], RescaleSlope=f"{-series.scales[index, 0]:.9g}")
    return planted(changed, rng, refused("E_RESCALE"))


@fault("a slope beyond what a float holds", *RESCALED)
def huge_slope(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, [anywhere(series, rng)], RescaleSlope="1e300")
    return planted(changed, rng, refused("E_NONFINITE"))


@fault("a modality table and a slope", *RESCALED)
def table_and_slope(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, RescaleSlope="2", RescaleIntercept="0", ModalityLUTSequence=_table(4096))
    return planted(changed, rng, refused("E_RESCALE"))


@fault("a modality table in a part of the slices", "mr")
def partial_table(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, [anywhere(series, rng)], ModalityLUTSequence=_table(4096))
    return planted(changed, rng, refused("E_RESCALE"))


@fault("a modality table shorter than it says", "mr")
def short_table(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, ModalityLUTSequence=_table(4096, missing=int(rng.integers(1, 4000))))
    return planted(changed, rng, refused("E_RESCALE"))


@fault("a modality table", "mr")
def table(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, ModalityLUTSequence=_table(2000))
    # values past the end of a table take its last entry (PS3.3 C.11.1.1.1)
    mapped = changed.changed(stored=_entries(2000)[np.clip(series.stored.astype(int) - 5, 0, 1999)])
    return planted(changed, rng, lambda found: _is_whole(found, mapped) and found.stacks[0].values == "table")


@fault("declared padding")
def padding(series: Series, rng: np.random.Generator) -> Planted:
    signed = series.stored.dtype == np.int16
    low, high = (-1000, -990) if signed else (0, 30)
    vr = "SS" if signed and rng.integers(2) else "US"
    changed = series.changed()
    for dataset in changed.files:
        dataset.add_new("PixelPaddingValue", vr, low if vr == "SS" else low % 65536)
        dataset.add_new("PixelPaddingRangeLimit", vr, high if vr == "SS" else high % 65536)
    pairs = [tuple(sorted((low * a + b, high * a + b))) for a, b in series.scales]
    said = pairs[0] if len(set(pairs)) == 1 else tuple(value for pair in pairs for value in pair)
    return planted(changed, rng, lambda found: _is_whole(found, series) and found.stacks[0].padding == said)


@fault("a real-world value map beside the rescale values")
def real_world_map(series: Series, rng: np.random.Generator) -> Planted:
    item = Dataset()
    item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped = 0, 4095
    item["RealWorldValueFirstValueMapped"].VR = item["RealWorldValueLastValueMapped"].VR = "US"
    item.RealWorldValueSlope, item.RealWorldValueIntercept = 3.5, 1.0
    changed = edited(series, RealWorldValueMappingSequence=Sequence([item]))
    values = "stored" if series.kind == "mr" else "rescale"

    def check(found: Found) -> bool:
        stack = found.stacks[0]
        return _is_whole(found, series) and stack.real_world_map and stack.values == values

    return planted(changed, rng, check)


@fault("low values shown bright in all slices")
def monochrome1(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, PhotometricInterpretation="MONOCHROME1")
    return planted(changed, rng, lambda found: _is_whole(found, series) and found.stacks[0].monochrome1)


@fault("low values shown bright in one slice")
def one_monochrome1(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, [anywhere(series, rng)], PhotometricInterpretation="MONOCHROME1")
    return planted(changed, rng, flagged(series, "W_MIXED"))


@fault("signed pixels in one slice of an unsigned stack", "mr")
def one_signed(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    changed = edited(series, [index], PixelRepresentation=1, BitsStored=16, HighBit=15)
    return planted(changed, rng, flagged(series, "W_MIXED"))


@fault("more bits stored than allocated")
def too_many_bits(series: Series, rng: np.random.Generator) -> Planted:
    return one_refused(series, rng, "E_DIMENSIONS", BitsStored=24, HighBit=23)


@fault("a high bit that does not fit")
def wrong_high_bit(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    changed = edited(series, [index], HighBit=int(rng.choice([3, 16, 40])))
    return planted(changed, rng, without(series, [index], "E_DIMENSIONS"))


@fault("three samples a pixel in a grey image")
def three_samples(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    grey = series.files[index]
    changed = edited(series, [index], SamplesPerPixel=3, PlanarConfiguration=0, PixelData=grey.PixelData * 3)
    return planted(changed, rng, without(series, [index], "E_DIMENSIONS"))


@fault("a colour name for one sample a pixel")
def grey_rgb(series: Series, rng: np.random.Generator) -> Planted:
    return one_refused(series, rng, "E_DIMENSIONS", PhotometricInterpretation="RGB")


@fault("eight bits allocated where sixteen are there")
def half_the_bits(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, BitsAllocated=8, BitsStored=8, HighBit=7)
    return planted(changed, rng, lambda found: {stack.code for stack in found.stacks} == {"W_EXCESS"})


@fault("a row less than there is")
def row_too_few(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, Rows=series.files[0].Rows - 1)
    short = series.changed(stored=series.stored[:, :-1])
    return planted(changed, rng, flagged(short, "W_EXCESS"))


@fault("a column less than there is")
def column_too_few(series: Series, rng: np.random.Generator) -> Planted:
    columns = series.files[0].Columns - 1
    changed = edited(series, Columns=columns)
    flat = series.stored.reshape(len(series.stored), -1)[:, : series.files[0].Rows * columns]
    short = series.changed(stored=flat.reshape(len(flat), -1, columns))
    return planted(changed, rng, flagged(short, "W_EXCESS"))


@fault("a row more than there is")
def row_too_many(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, Rows=series.files[0].Rows + 1), rng, refused("E_TRUNCATED"))


@fault("rows and columns exchanged over a compressed stream")
def swapped_sides(series: Series, rng: np.random.Generator) -> Planted:
    files = {}
    for index, dataset in enumerate(series.files):
        one = packed(dataset, JPEG_LS)
        files[f"{index}"] = as_bytes(one, Rows=dataset.Columns, Columns=dataset.Rows)
    return Planted(files, refused("E_DIMENSIONS"))


@fault("another matrix in one slice")
def other_matrix(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    pixels = series.stored[index, :-2]
    changed = edited(series, [index], Rows=len(pixels), PixelData=pixels.tobytes())

    def apart(found: Found) -> bool:
        return sorted(stack.shape[1] for stack, _ in found.volumes) == sorted([len(pixels), len(pixels) + 2])

    return planted(changed, rng, without(series, [index], apart=apart))


@fault("lossy compression", "ct", "mr")
def lossy(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, LossyImageCompression="01")
    return planted(changed, rng, flagged(series, "W_LOSSY"))


@fault("plain pixels named run-length encoded")
def plain_named_packed(series: Series, rng: np.random.Generator) -> Planted:
    index = inner(series, rng)[0]
    data = to_bytes(series.files[index])
    wrong = _named_syntax(data, RLE)
    files = {f"{k}": wrong if k == index else to_bytes(one) for k, one in enumerate(series.files)}
    return Planted(files, without(series, [index], "E_FRAME_COUNT"))


@fault("run-length encoded pixels named plain")
def packed_named_plain(series: Series, rng: np.random.Generator) -> Planted:
    index = inner(series, rng)[0]
    wrong = _named_syntax(to_bytes(packed(series.files[index], RLE)), "1.2.840.10008.1.2.1")
    files = {f"{k}": wrong if k == index else to_bytes(one) for k, one in enumerate(series.files)}
    return Planted(files, without(series, [index], "E_CODEC_ERROR"))


@fault("a stream of another codec than its name")
def other_codec(series: Series, rng: np.random.Generator) -> Planted:
    files = {f"{k}": _named_syntax(to_bytes(packed(one, JPEG_LS)), JPEG_2000) for k, one in enumerate(series.files)}
    return Planted(files, refused("E_CODEC_ERROR"))


def _is_whole(found: Found, series: Series) -> bool:
    plain = len(found.stacks) == len(found.volumes) == 1 and found.stacks[0].verdict == "regular"
    return plain and not found.stacks[0].flags and is_volume(*found.volumes[0], series)


def _rescaled(series: Series) -> Series:
    """Return the series with rescale values that are no default."""
    scales = series.scales * [1.0, 1.0] + [0.5, -3.0]
    changed = series.changed(scales=scales)
    for dataset, (slope, intercept) in zip(changed.files, scales, strict=True):
        dataset.RescaleSlope, dataset.RescaleIntercept = f"{slope:.12g}", f"{intercept:.12g}"
    return changed


def _entries(n: int) -> np.ndarray:
    return (np.arange(n) * 13 % 60000).astype(np.uint16)


def _table(n: int, *, missing: int = 0) -> Sequence:
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [n, 5, 16], "US"
    item.LUTData = _entries(n)[: n - missing].tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    return Sequence([item])


def _named_syntax(data: bytes, syntax: str) -> bytes:
    """Return a file whose meta information names another transfer syntax."""
    start = data.index(b"\x02\x00\x10\x00UI") + 6
    length = int.from_bytes(data[start : start + 2], "little")
    named_anew = syntax.encode() + b"\0" * (len(syntax) % 2)
    changed = data[:start] + len(named_anew).to_bytes(2, "little") + named_anew + data[start + 2 + length :]
    group = changed.index(b"\x02\x00\x00\x00UL\x04\x00") + 8
    total = int.from_bytes(changed[group : group + 4], "little") + len(named_anew) - length
    return changed[:group] + total.to_bytes(4, "little") + changed[group + 4 :]

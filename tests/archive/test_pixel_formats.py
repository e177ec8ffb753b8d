"""Pixels as every kind of image may store them, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from medpipe.archive.pixels import decode
from medpipe.errors import Rejected

RNG = np.random.default_rng(28)
COLOUR = {
    "SamplesPerPixel": 3,
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "PlanarConfiguration": 0,
    "PixelRepresentation": 0,
    "PhotometricInterpretation": "RGB",
}
RGB = RNG.integers(0, 256, (6, 8, 3)).astype(np.uint8)


@pytest.fixture
def pixels(slice_of, bytes_of, read):
    """Return a function from an array and elements to the first frame that is decoded."""

    def decoded(stored, *, palette=None, **elements):
        dataset = slice_of(stored, **elements)
        for keyword, (kind, values) in (palette or {}).items():
            setattr(dataset, keyword, values)
            dataset[keyword].VR = kind
        data = bytes_of(dataset)
        return decode(read(data), data)[0]

    return decoded


def ybr_full(rgb: np.ndarray) -> np.ndarray:
    """Return full-range luminance and colour differences (PS3.3 C.7.6.3.1.2)."""
    r, g, b = np.moveaxis(rgb.astype(float), -1, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    differences = (-0.1687 * r - 0.3313 * g + 0.5 * b + 128, 0.5 * r - 0.4187 * g - 0.0813 * b + 128)
    return np.stack([y, *differences], axis=-1).round().clip(0, 255).astype(np.uint8)


# colours ------------------------------------------------------------------------------------


@pytest.mark.parametrize("plane_by_plane", [False, True])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colours_pixel_by_pixel_and_plane_by_plane(pixels, photometric, plane_by_plane):
    stored = RGB if photometric == "RGB" else ybr_full(RGB)
    laid_out = np.moveaxis(stored, -1, 0) if plane_by_plane else stored
    said = {"PhotometricInterpretation": photometric, "PlanarConfiguration": int(plane_by_plane)}
    found = pixels(RGB, **{**COLOUR, **said, "PixelData": laid_out.tobytes()})
    assert np.abs(found.astype(int) - RGB).max() <= (0 if photometric == "RGB" else 3)


def test_two_pixels_that_share_their_colour(pixels):
    rgb = np.repeat(RNG.integers(0, 256, (6, 4, 3)).astype(np.uint8), 2, axis=1)
    y, blue, red = np.moveaxis(ybr_full(rgb), -1, 0)
    shared = np.stack([y[:, 0::2], y[:, 1::2], blue[:, 0::2], red[:, 0::2]], axis=-1)
    found = pixels(rgb, **{**COLOUR, "PhotometricInterpretation": "YBR_FULL_422", "PixelData": shared.tobytes()})
    assert np.abs(found.astype(int) - rgb).max() <= 3


@pytest.mark.parametrize(
    "photometric", ["YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT", "HSV", "ARGB", "CMYK"]
)
def test_colour_spaces_that_nothing_converts_are_refused(pixels, photometric):
    with pytest.raises(Rejected, match="E_COLOUR"):
        pixels(RGB, **{**COLOUR, "PhotometricInterpretation": photometric})


def test_colours_of_sixteen_bits(pixels):
    rgb = RNG.integers(0, 65536, (6, 8, 3)).astype(np.uint16)
    found = pixels(rgb, **{**COLOUR, "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15})
    assert np.array_equal(found, rgb)


# palettes -----------------------------------------------------------------------------------


def palette_of(entries, *, first=0, bits=16, n=None, segmented=False):
    word = np.uint8 if bits == 8 else np.uint16
    made = {}
    for colour, values in zip(("Red", "Green", "Blue"), entries, strict=True):
        made[f"{colour}PaletteColorLookupTableDescriptor"] = ("US", [n or len(values), first, bits])
        named = f"{'Segmented' if segmented else ''}{colour}PaletteColorLookupTableData"
        made[named] = ("OW", np.asarray(values, word).tobytes())
    return made


def indices(bits):
    said = {"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": 0}
    return said | {"PhotometricInterpretation": "PALETTE COLOR"}


@pytest.mark.parametrize("entry_bits", [8, 16])
def test_a_palette_for_eight_bits(pixels, entry_bits):
    stored = RNG.integers(0, 256, (6, 8)).astype(np.uint8)
    entries = [RNG.integers(0, 1 << entry_bits, 256) for _ in range(3)]
    found = pixels(stored, palette=palette_of(entries, bits=entry_bits), **indices(8))
    # an image of 8 bits shows the high byte of wider entries
    assert np.array_equal(found, np.stack([one[stored] >> (entry_bits - 8) for one in entries], axis=-1))


def test_a_palette_for_sixteen_bits(pixels):
    stored = RNG.integers(0, 4096, (6, 8)).astype(np.uint16)
    entries = [RNG.integers(0, 65536, 4096) for _ in range(3)]
    found = pixels(stored, palette=palette_of(entries), **indices(16))
    assert np.array_equal(found, np.stack([one[stored] for one in entries], axis=-1))


def test_a_palette_that_begins_later_goes_on_at_both_ends(pixels):
    stored = RNG.integers(0, 256, (6, 8)).astype(np.uint16)
    entries = [RNG.integers(0, 65536, 100) for _ in range(3)]
    found = pixels(stored, palette=palette_of(entries, first=10), **indices(16))
    place = np.clip(stored.astype(int) - 10, 0, 99)
    assert np.array_equal(found, np.stack([one[place] for one in entries], axis=-1))


def test_a_palette_in_segments(pixels):
    stored = RNG.integers(0, 256, (6, 8)).astype(np.uint16)
    # three entries as they are, then 253 in a line to 60000 (PS3.3 C.7.9.2)
    segments = [0, 3, 100, 200, 300, 1, 253, 60000]
    line = 300 + (60000 - 300) * np.arange(1, 254) / 253
    entries = np.concatenate([[100, 200, 300], line])
    found = pixels(stored, palette=palette_of([segments] * 3, n=256, segmented=True), **indices(16))
    assert np.abs(found - entries[stored][..., None]).max() <= 1


# numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keyword", "kind"), [("FloatPixelData", np.float32), ("DoubleFloatPixelData", np.float64)])
def test_numbers_with_a_point(slice_of, bytes_of, read, keyword, kind):
    stored = RNG.normal(size=(6, 8)).astype(kind)
    said = {"BitsAllocated": stored.itemsize * 8, "BitsStored": None, "HighBit": None, "PixelRepresentation": None}
    dataset = slice_of(stored, **said, PixelData=None, **{keyword: stored.tobytes()})
    data = bytes_of(dataset)
    found = decode(read(data), data)
    assert found.dtype == kind
    assert np.array_equal(found[0], stored)


def test_one_bit_for_each_pixel(pixels):
    stored = (RNG.random((6, 8)) < 0.5).astype(np.uint8)
    packed = np.packbits(stored.ravel(), bitorder="little").tobytes()
    said = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "PixelRepresentation": 0}
    assert np.array_equal(pixels(stored, **said, PixelData=packed), stored)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.uint32, np.int32, np.uint64, np.int64])
def test_whole_numbers_of_every_width(pixels, kind):
    limits = np.iinfo(kind)
    stored = RNG.integers(limits.min, limits.max, (6, 8), dtype=kind, endpoint=True)
    bits = stored.itemsize * 8
    found = pixels(stored, BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1)
    assert found.dtype == kind
    assert np.array_equal(found, stored)


@pytest.mark.parametrize("high_bit", [11, 13, 14, 15])
@pytest.mark.parametrize("signed", [False, True])
def test_twelve_bits_anywhere_in_sixteen(pixels, high_bit, signed):
    wanted = RNG.integers(-2048, 2048, (6, 8)) if signed else RNG.integers(0, 4096, (6, 8))
    low = high_bit - 11
    rubbish = RNG.integers(0, 65536, (6, 8)) & ~(0xFFF << low)
    stored = ((wanted & 0xFFF) << low | rubbish).astype(np.uint16)
    found = pixels(stored.view(np.int16) if signed else stored, BitsStored=12, HighBit=high_bit)
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize(("allocated", "samples"), [(12, 1), (24, 1), (8, 2), (8, 4)])
def test_formats_that_no_array_holds_are_refused(pixels, allocated, samples):
    said = {"BitsAllocated": allocated, "BitsStored": allocated, "HighBit": allocated - 1, "SamplesPerPixel": samples}
    with pytest.raises(Rejected, match="E_DIMENSIONS"):
        pixels(np.zeros((6, 8 * samples), np.uint32), **said)

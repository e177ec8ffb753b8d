from __future__ import annotations

import contextlib

import numpy as np
import pytest

from medpipe.archive import pixels as pixels_module
from medpipe.archive.codestream import stream_size
from medpipe.archive.pixels import clear_unused_bits, codec_boundary, decode, pixel_digest
from medpipe.errors import Rejected
from medpipe.keys import bytes_digest

RAMP = (np.arange(48 * 64) * 37 % 4096).astype(np.uint16).reshape(48, 64)
SYNTAXES = ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"]


def decoded(read, data: bytes) -> np.ndarray:
    return decode(read(data), data)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_lossless_encodings_have_the_digest_of_the_plain_pixels(slice_of, bytes_of, read, syntax):
    dataset = slice_of(RAMP)
    plain = bytes_of(dataset)
    dataset.compress(syntax)
    packed = bytes_of(dataset)
    assert np.array_equal(decoded(read, packed)[0], RAMP)
    assert pixel_digest(packed) == pixel_digest(plain)


def test_overlay_bits_are_cleared(slice_of, bytes_of, read):
    data = bytes_of(slice_of(RAMP | 0xA000, BitsStored=12, HighBit=11))
    assert np.array_equal(decoded(read, data)[0], RAMP)


def test_signed_twelve_bits_are_extended(slice_of, bytes_of, read):
    wanted = np.arange(-24, 24, dtype=np.int16).reshape(6, 8) * 85
    stored = (wanted & 0x0FFF).astype(np.int16)
    data = bytes_of(slice_of(stored, BitsStored=12, HighBit=11))
    assert np.array_equal(decoded(read, data)[0], wanted)


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_bits_above_a_low_gap_are_shifted_down(kind):
    wanted = np.arange(-8, 8) if kind == np.int16 else np.arange(16)
    stored = (wanted.astype(np.int64) << 4 & 0xFFFF).astype(np.uint16).view(kind) | kind(3)
    cleared = clear_unused_bits(stored, bits_allocated=16, bits_stored=12, high_bit=15)
    assert np.array_equal(cleared, wanted)


def test_a_modality_table_replaces_the_stored_values(slice_of, bytes_of, read):
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor = [4, 0, 16]
    table.ModalityLUTType = "US"
    table.LUTData = [10, 20, 30, 45]
    dataset = slice_of(RAMP % 6, RescaleSlope=None, RescaleIntercept=None)
    dataset.ModalityLUTSequence = [table]
    dataset["ModalityLUTSequence"][0]["LUTDescriptor"].VR = "US"
    dataset["ModalityLUTSequence"][0]["LUTData"].VR = "US"
    expected = np.array([10, 20, 30, 45, 45, 45])[RAMP % 6]
    assert np.array_equal(decoded(read, bytes_of(dataset))[0], expected)


def test_monochrome1_keeps_its_polarity(slice_of, archive_of):
    archive = archive_of([slice_of(RAMP, PhotometricInterpretation="MONOCHROME1")])
    assert np.array_equal(archive.load()[0].data[0], RAMP.astype(np.float32) - 1024)


def test_colour_is_channel_first(slice_of, archive_of):
    rgb = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    dataset = slice_of(
        rgb,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        ImagePositionPatient=None,
    )
    volume, _ = archive_of([dataset]).load()
    assert volume.geometry.axes == "czyx"
    assert np.array_equal(volume.data[:, 0], np.moveaxis(rgb, -1, 0))


def test_a_stream_of_another_size_than_the_header_is_refused(slice_of, bytes_of, read):
    dataset = slice_of(RAMP)
    dataset.compress("1.2.840.10008.1.2.4.90")
    dataset.Rows, dataset.Columns = 64, 48
    with pytest.raises(Rejected, match="E_DIMENSIONS"):
        decoded(read, bytes_of(dataset))


def test_stream_size_is_read_from_every_family(slice_of):
    from pydicom.encaps import generate_frames

    for syntax in SYNTAXES[1:]:
        dataset = slice_of(RAMP)
        dataset.compress(syntax)
        assert stream_size(next(generate_frames(dataset.PixelData, number_of_frames=1))) == (48, 64)
    assert stream_size(b"\xff\xd8\xff") is None


def test_damaged_streams_are_rejected_never_raised(slice_of, bytes_of, read):
    rng = np.random.default_rng(5)
    for syntax in SYNTAXES:
        dataset = slice_of(RAMP)
        dataset.compress(syntax)
        whole = bytearray(bytes_of(dataset))
        for _ in range(20):
            damaged = whole.copy()
            for place in rng.integers(len(whole) - 200, len(whole) - 8, 6):
                damaged[place] = rng.integers(256)
            with contextlib.suppress(Rejected):
                decoded(read, bytes(damaged))


class Panic(BaseException):
    """Stands for what Rust codecs raise."""


@pytest.mark.parametrize(
    ("raised", "code"),
    [(Panic(), "E_CODEC_PANIC"), (ValueError("x"), "E_CODEC_ERROR"), (NotImplementedError(), "E_UNSUPPORTED_TS")],
)
def test_whatever_a_codec_raises_becomes_a_reason(raised, code):
    with pytest.raises(Rejected, match=code), codec_boundary():
        raise raised


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_the_codec_boundary(raised):
    with pytest.raises(raised), codec_boundary():
        raise raised


def test_a_file_that_changed_since_the_scan_is_not_read(stack_of, archive_of, bytes_of, slice_of):
    archive = archive_of(stack_of(2))
    archive.files["1"] = bytes_of(slice_of(RAMP))
    with pytest.raises(Rejected, match="E_CHANGED"):
        archive.load()


def test_values_that_are_not_finite_are_refused(slice_of, archive_of):
    archive = archive_of([slice_of(RAMP + 1, RescaleSlope="1e300")])
    with pytest.raises(Rejected, match="E_NONFINITE"), np.errstate(over="ignore"):
        archive.load()


def test_every_named_codec_is_there():
    from pydicom.pixels import get_decoder

    for syntax, plugin in pixels_module.PLUGINS.items():
        assert plugin in get_decoder(syntax).available_plugins


def test_the_header_digest_is_of_the_file(slice_of, bytes_of, read):
    data = bytes_of(slice_of(RAMP))
    assert read(data).bytes_digest == bytes_digest(data)

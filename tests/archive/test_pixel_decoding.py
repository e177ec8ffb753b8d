from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from pydicom.encaps import encapsulate, generate_frames

from medpipe.archive import pixels as pixels_module
from medpipe.archive.codestream import stream_size
from medpipe.archive.header import read_header
from medpipe.archive.limits import RLE, check_pixels
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
    for syntax in SYNTAXES[1:]:
        dataset = slice_of(RAMP)
        dataset.compress(syntax)
        assert stream_size(next(generate_frames(dataset.PixelData, number_of_frames=1))) == (48, 64, 1, 1, True)
    assert stream_size(b"\xff\xd8\xff") is None


def in_stream(slice_of, bytes_of, syntax, change, stored=RAMP, **elements):
    """Return a file whose one stream was changed."""
    dataset = slice_of(stored)
    dataset.compress(syntax)
    stream = change(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    dataset.PixelData = encapsulate([stream + b"\0" * (len(stream) % 2)])
    dataset["PixelData"].is_undefined_length = True
    for keyword, said in elements.items():
        setattr(dataset, keyword, said)
    return bytes_of(dataset)


JPEG_LS, JPEG_2000 = SYNTAXES[1:]


@pytest.mark.parametrize("syntax", [JPEG_LS, JPEG_2000])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_stream_without_its_end_is_truncated(slice_of, bytes_of, read, syntax, kept):
    data = in_stream(slice_of, bytes_of, syntax, lambda stream: stream[: int(len(stream) * kept)])
    with pytest.raises(Rejected, match="E_TRUNCATED"):
        decoded(read, data)


@pytest.mark.parametrize("syntax", [JPEG_LS, JPEG_2000])
def test_what_is_no_stream_of_its_kind_reaches_no_codec(slice_of, bytes_of, read, syntax):
    with pytest.raises(Rejected, match="E_CODEC_ERROR"):
        decoded(read, in_stream(slice_of, bytes_of, syntax, lambda stream: b"\0\0" + stream[2:]))


def test_a_stream_of_no_lines_is_refused_and_one_that_says_them_later_is_not(slice_of, bytes_of, read):
    def without_lines(stream, later=b""):
        at = stream.index(b"\xff\xf7") + 5
        return stream[:at] + b"\0\0" + stream[at + 2 : -2] + later + stream[-2:]

    with pytest.raises(Rejected, match="E_DIMENSIONS"):
        decoded(read, in_stream(slice_of, bytes_of, JPEG_LS, without_lines))
    dataset = slice_of(RAMP)
    dataset.compress(JPEG_LS)
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    assert stream_size(without_lines(stream, b"\xff\xdc\0\x04\0\x30"))[:2] == (48, 64)


@pytest.mark.parametrize(("syntax", "at"), [(JPEG_LS, 0), (JPEG_2000, 1)])
def test_a_stream_of_other_components_is_refused(slice_of, bytes_of, read, syntax, at):
    def with_three(stream):
        place = stream.index(b"\xff\xf7") + 9 if syntax == JPEG_LS else 41
        return stream[:place] + b"\x03" + stream[place + 1 :]

    with pytest.raises(Rejected, match="E_DIMENSIONS"):
        decoded(read, in_stream(slice_of, bytes_of, syntax, with_three))


def test_tiles_of_a_few_pixels_are_refused(slice_of, bytes_of, read):
    tiny = struct.pack(">II", 2, 2)
    with pytest.raises(Rejected, match="E_DIMENSIONS"):
        decoded(read, in_stream(slice_of, bytes_of, JPEG_2000, lambda stream: stream[:24] + tiny + stream[32:]))


def test_the_boxes_of_a_jp2_file_are_looked_through(slice_of):
    dataset = slice_of(RAMP)
    dataset.compress(JPEG_2000)
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0jp2c"
    assert stream_size(boxes + stream) == stream_size(stream)


@pytest.mark.parametrize("syntax", [JPEG_LS, JPEG_2000])
def test_a_huge_frame_out_of_a_small_stream_is_refused_before_there_is_room_for_it(slice_of, bytes_of, read, syntax):
    side = 9000

    def huge(stream):
        if syntax == JPEG_LS:
            at = stream.index(b"\xff\xf7") + 5
            return stream[:at] + struct.pack(">HH", side, side) + stream[at + 4 :]
        return stream[:8] + struct.pack(">IIIIII", side, side, 0, 0, side, side) + stream[32:]

    with pytest.raises(Rejected, match="E_DIMENSIONS"):
        decoded(read, in_stream(slice_of, bytes_of, syntax, huge, Rows=side, Columns=side))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_large_blank_image_is_not_taken_for_a_bomb(slice_of, bytes_of, read, syntax):
    blank = np.full((2048, 2500), 9, np.uint16)
    dataset = slice_of(blank)
    dataset.compress(syntax)
    data = bytes_of(dataset)
    assert len(data) < blank.nbytes / 60
    assert np.array_equal(decoded(read, data)[0], blank)


def test_runs_hold_sixty_four_bytes_a_byte_and_no_more():
    facts = {"samples": 1, "bits_allocated": 16, "n_frames": 1, "photometric": "", "n_fragments": 1}
    for rows, code in ((64, ""), (65, "E_DIMENSIONS")):
        assert check_pixels(rows=rows, columns=100, transfer_syntax=RLE, pixel_bytes=200, **facts) == code


def test_a_segmentation_in_colour_is_refused(slice_of, bytes_of, read):
    rgb = np.zeros((6, 8, 3), np.uint8)
    dataset = slice_of(
        rgb,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4",
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
    )
    with pytest.raises(Rejected, match="E_DIMENSIONS"):
        decoded(read, bytes_of(dataset))


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


def test_the_head_digest_is_of_what_comes_before_the_pixels_and_of_the_size(slice_of, bytes_of, read):
    data = bytes_of(slice_of(RAMP))
    header = read(data)
    assert data[header.head_bytes - 12 :][:4] == b"\xe0\x7f\x10\x00"
    assert len(data) - header.head_bytes == header.pixel_bytes
    assert header.head_digest == bytes_digest(data[: header.head_bytes] + str(len(data)).encode())


def test_what_a_file_held_changes_with_its_head_and_with_its_time(slice_of, bytes_of):
    data = bytes_of(slice_of(RAMP))

    def content(data, version):
        return read_header(data, path="", size=len(data), version=version).content

    first = content(data, f"{len(data)}-17-1")
    assert content(data, f"{len(data)}-17-2") == first
    assert content(data, f"{len(data)}-18-1") != first
    other = slice_of(RAMP)
    other.PatientWeight = 80
    assert content(bytes_of(other), f"{len(data)}-17-1") != first


@pytest.mark.parametrize("name", ["seg", "nameless", "deflated"])
def test_of_masks_and_nameless_and_deflated_files_the_head_is_all(name, slice_of, bytes_of, read):
    image = slice_of(RAMP)
    if name == "seg":
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    elif name == "nameless":
        del image.SOPInstanceUID
    else:
        image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    data = bytes_of(image)
    header = read(data)
    assert header.head_bytes == len(data)
    assert header.content == header.head_digest[:32]

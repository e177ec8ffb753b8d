"""PNG, JPEG and TIFF as pictures without a place, films and sounds as lines of the catalogue."""

from __future__ import annotations

import io
import struct
import wave
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import UID

from medpipe.archive.assemble import assemble
from medpipe.archive.other.door import HEAD_BYTES, needs_whole, read_other
from medpipe.archive.voxels import load_volume
from medpipe.errors import Rejected
from tests.archive.other_files import header_of, read

ROWS, COLUMNS = 37, 53


def grey(dtype=np.uint8, frames=()):
    info = np.iinfo(dtype)
    return np.random.default_rng(1).integers(0, info.max, (*frames, ROWS, COLUMNS), dtype=dtype, endpoint=True)


def colour():
    return np.random.default_rng(2).integers(0, 256, (ROWS, COLUMNS, 3), dtype=np.uint8)


def saved(image, kind, **options):
    stream = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, kind, **options)
    return stream.getvalue()


def tiff(array, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, metadata=None, **options)
    return stream.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(columns, rows, bits, kind, data=b"", before=b""):
    head = struct.pack(">IIBBBBB", columns, rows, bits, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_png(dtype):
    header, stack, volume = read(saved(grey(dtype), "PNG", dpi=(300, 300)))
    assert (header.format, stack.kind, stack.verdict, stack.modality) == ("png", "planar", "planar", "OT")
    np.testing.assert_array_equal(volume.data, grey(dtype)[np.newaxis].astype(np.float32))
    # dots per inch of a print are no length in a patient
    assert volume.geometry.spacing_mm is None
    assert volume.geometry.affine_lps is None


def test_bits_of_a_png():
    bits = grey() > 127
    _, _, volume = read(saved(Image.fromarray(bits), "PNG"))
    np.testing.assert_array_equal(volume.data[0], bits.astype(np.float32))


def test_colour_png():
    _, stack, volume = read(saved(colour(), "PNG"))
    assert (stack.kind, volume.geometry.axes) == ("colour", "czyx")
    np.testing.assert_array_equal(volume.data[:, 0], np.moveaxis(colour(), -1, 0))


def test_palette_png():
    image = Image.fromarray(colour()).quantize(16)
    _, stack, volume = read(saved(image, "PNG"))
    assert stack.kind == "colour"
    np.testing.assert_array_equal(volume.data[:, 0], np.moveaxis(np.asarray(image.convert("RGB")), -1, 0))


def test_only_what_is_opaque_everywhere():
    alpha = np.full((ROWS, COLUMNS, 1), 255, np.uint8)
    for plain, axis in ((colour(), -1), (grey()[..., np.newaxis], -1)):
        pixels = np.concatenate([plain, alpha], axis=axis)
        _, _, volume = read(saved(pixels, "PNG"))
        np.testing.assert_array_equal(
            np.moveaxis(volume.data.squeeze(), 0, -1) if plain.shape[-1] == 3 else volume.data[0][..., None], plain
        )
        pixels[3, 3, -1] = 254
        with pytest.raises(Rejected, match="E_FORMAT"):
            read(saved(pixels, "PNG"))


@pytest.mark.parametrize(
    ("columns", "rows", "bits", "kind", "before", "code"),
    [
        (4, 4, 16, 2, b"", "E_FORMAT"),
        (4, 4, 2, 0, b"", "E_FORMAT"),
        (4, 4, 8, 1, b"", "E_FORMAT"),
        (4, 4, 8, 0, chunk(b"acTL", bytes(8)), "E_FORMAT"),
        (0, 4, 8, 0, b"", "E_DIMENSIONS"),
        (60000, 60000, 8, 0, b"", "E_DIMENSIONS"),
        (70000, 4, 8, 0, b"", "E_DIMENSIONS"),
        (12000, 12000, 8, 2, b"", "E_DIMENSIONS"),
    ],
)
def test_png_headers_that_are_refused(columns, rows, bits, kind, before, code):
    assert header_of(png(columns, rows, bits, kind, before=before)).code == code


def test_jpeg_is_lossy():
    for pixels in (grey(), colour()):
        data = saved(pixels, "JPEG", quality=95)
        header, stack, volume = read(data)
        expected = np.asarray(Image.open(io.BytesIO(data)))
        expected = expected[np.newaxis] if expected.ndim == 2 else np.moveaxis(expected, -1, 0)[:, np.newaxis]
        np.testing.assert_array_equal(volume.data, expected.astype(np.float32))
        assert (header.format, stack.flags) == ("jpeg", ("W_LOSSY",))
    assert header_of(saved(Image.fromarray(colour()).convert("CMYK"), "JPEG")).code == "E_FORMAT"


def test_a_picture_is_not_turned_silently():
    exif = Image.Exif()
    exif[274] = 6
    _, stack, volume = read(saved(grey(), "JPEG", exif=exif))
    assert "W_TURNED" in stack.flags
    assert volume.data.shape == (1, ROWS, COLUMNS)
    assert header_of(saved(grey(), "TIFF", exif=exif)).code == "E_FORMAT"
    exif[274] = 1
    assert read(saved(grey(), "JPEG", exif=exif))[1].flags == ("W_LOSSY",)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_tiff(dtype, order, big):
    pixels = grey(np.uint16).astype(np.float32) / 7 if dtype is np.float32 else grey(dtype)
    if big and order == ">":
        assert header_of(tiff(pixels, byteorder=order, bigtiff=big)).code == "E_FORMAT"
        return
    header, stack, volume = read(
        tiff(pixels, byteorder=order, bigtiff=big, photometric="minisblack", resolution=(10, 10))
    )
    assert (header.format, stack.kind, stack.spacing_mm) == ("tiff", "planar", None)
    np.testing.assert_array_equal(volume.data[0], pixels.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pages_are_frames(dtype):
    pages = grey(dtype, (5,))
    _, stack, volume = read(tiff(pages, photometric="minisblack"))
    assert (stack.kind, stack.shape) == ("multiframe", (5, ROWS, COLUMNS))
    np.testing.assert_array_equal(volume.data, pages.astype(np.float32))


def test_colour_tiff():
    _, stack, volume = read(tiff(colour(), photometric="rgb", compression="zlib"))
    assert stack.kind == "colour"
    np.testing.assert_array_equal(volume.data[:, 0], np.moveaxis(colour(), -1, 0))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_packed_tiff(compression):
    _, _, volume = read(saved(grey(), "TIFF", compression=compression))
    np.testing.assert_array_equal(volume.data[0], grey())


def test_tiff_forms_that_are_refused():
    refused = [
        tiff(grey().astype(np.int16), photometric="minisblack"),
        tiff(grey(), photometric="miniswhite"),
        tiff(np.dstack([colour(), grey()]), photometric="rgb", extrasamples=["unassalpha"]),
        saved(grey(), "TIFF", compression="jpeg"),
    ]
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(grey(), metadata=None)
        writer.write(grey()[:9], metadata=None)
    refused.append(stream.getvalue())
    assert [header_of(data).code for data in refused] == ["E_FORMAT"] * 5


def test_a_pyramid_of_tiles_is_catalogued():
    stream = io.BytesIO()
    big = np.zeros((256, 256, 3), np.uint8)
    with tifffile.TiffWriter(stream) as writer:
        writer.write(big, tile=(64, 64), photometric="rgb", metadata=None)
        writer.write(big[::4, ::4], tile=(64, 64), photometric="rgb", metadata=None)
    header = header_of(stream.getvalue())
    assert header.code == "S_WHOLE_SLIDE"
    assert assemble([header]).outcomes["a"] == ("catalogued", "S_WHOLE_SLIDE")


def test_directories_that_run_in_a_circle_or_out_of_the_file():
    data = bytearray(tiff(grey(), photometric="minisblack"))
    at = struct.unpack_from("<I", data, 4)[0]
    end = at + 2 + 12 * struct.unpack_from("<H", data, at)[0]
    struct.pack_into("<I", data, end, at)
    assert header_of(bytes(data)).code == "E_HEADER"
    struct.pack_into("<I", data, end, len(data) + 5)
    assert header_of(bytes(data)).code == "E_TRUNCATED"


def test_what_only_begins_like_a_picture_is_none():
    for data in (b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0", b"\x89PNG\r\n\x1a\n", b"II*\0"):
        assert header_of(data).code == "E_NOT_DICOM"


def test_damaged_pictures_are_told():
    rng = np.random.default_rng(7)
    files = [saved(grey(), "PNG"), saved(colour(), "JPEG"), tiff(grey(np.uint8, (3,)), photometric="minisblack")]
    for data in files:
        for length in range(0, len(data), max(1, len(data) // 60)):
            changed = bytearray(data[:length] if length % 2 else data)
            for at in rng.integers(0, max(1, len(changed)), 4):
                if at < len(changed):
                    changed[at] = rng.integers(0, 256)
            held = bytes(changed)
            header = header_of(held)
            if header.code:
                continue
            try:
                volume, _ = load_volume(assemble([header]).stacks[0], {"a": header}, lambda _, held=held: held)
            except Rejected:
                continue
            assert volume.data.size < 1 << 24


def test_a_cut_picture_gives_its_pixels_or_none():
    files = [saved(grey(), "PNG"), saved(colour(), "JPEG"), tiff(grey(np.uint8, (3,)), photometric="minisblack")]
    files.append(saved(grey(), "TIFF", compression="tiff_lzw"))
    for data in files:
        whole = read(data)[2].data
        for length in range(0, len(data), max(1, len(data) // 80)):
            held = data[:length]
            header = header_of(held)
            if header.code:
                continue
            try:
                volume, _ = load_volume(assemble([header]).stacks[0], {"a": header}, lambda _, held=held: held)
            except Rejected:
                continue
            np.testing.assert_array_equal(volume.data, whole)


def test_the_head_of_a_picture_is_enough():
    noise = np.random.default_rng(3).integers(0, 256, (1200, 1200), dtype=np.uint8)
    for kind in ("PNG", "JPEG"):
        data = saved(noise, kind, **({"quality": 100} if kind == "JPEG" else {}))
        assert len(data) > HEAD_BYTES
        whole = header_of(data)
        assert (
            read_other(
                data[:HEAD_BYTES],
                path="a",
                size=len(data),
                version="1",
                digest=whole.head_digest,
                head_bytes=whole.head_bytes,
            )
            == whole
        )
        assert not needs_whole(data[:16])
    assert needs_whole(tiff(grey())[:16])


# films and sounds ---------------------------------------------------------------------------------


def test_films_and_sounds_are_catalogued():
    stream = io.BytesIO()
    with wave.open(stream, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(800))
    files = {
        stream.getvalue(): "S_AUDIO",
        b"\0\0\0\x18ftypisom\0\0\2\0isomiso2": "S_VIDEO",
        b"RIFF\x10\0\0\0AVI LIST": "S_VIDEO",
        b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81": "S_VIDEO",
        b"OggS\0\2": "S_AUDIO",
    }
    for data, code in files.items():
        header = header_of(data)
        assert header.code == code
        assert assemble([header]).outcomes["a"] == ("catalogued", code)
    assert header_of(b"RIFF\x10\0\0\0WEBP").code == "E_NOT_DICOM"


def test_dicom_films_and_waveforms_are_catalogued(bytes_of, slice_of):
    film = slice_of(np.zeros((4, 4), np.uint16))
    film.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.102")
    film.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\4\0\0\0abcd\xfe\xff\xdd\xe0\0\0\0\0"
    film["PixelData"].is_undefined_length = True
    film["PixelData"].VR = "OB"
    header = header_of(bytes_of(film))
    assert assemble([header]).outcomes["a"] == ("catalogued", "S_VIDEO")
    trace: Dataset = slice_of(
        np.zeros((4, 4), np.uint16), PixelData=None, SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.9.1.1")
    )
    header = header_of(bytes_of(trace))
    assert assemble([header]).outcomes["a"] == ("catalogued", "S_WAVEFORM")


# what asks for much -------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1 << 63, (1 << 64) - 1])
def test_offsets_of_64_bits_lead_out_of_the_file(at):
    data = bytearray(tiff(grey(), bigtiff=True, photometric="minisblack"))
    struct.pack_into("<Q", data, 8, at)
    assert header_of(bytes(data)).code == "E_TRUNCATED"


def test_directories_that_lie_in_one_another_are_refused_before_they_are_all_read():
    # cells of six bytes: how many entries a directory has, and where the one after the next 8192 cells begins
    step = (2 + 4096 * 12) // 6
    cells = [struct.pack("<HI", 4096, max(0, cell - step + 1) * 6 + 8) for cell in range(20_000)]
    assert header_of(b"II*\0" + struct.pack("<I", 8) + b"".join(cells)).code == "E_HEADER"


def tiff_of(pages, pixel_bytes=4):
    """Return a TIFF of pages of 8 x 4 pixels that share their bytes."""
    data = bytearray(b"II*\0" + struct.pack("<I", 8 + pixel_bytes) + bytes(pixel_bytes))
    for number in range(pages):
        tags = ((256, 8), (257, 4), (258, 8), (262, 1), (273, 8), (279, pixel_bytes))
        data += struct.pack("<H", len(tags))
        data += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        data += struct.pack("<I", 0 if number == pages - 1 else len(data) + 4)
    return bytes(data)


def test_pages_cost_time_and_must_not_share_their_pixels():
    assert header_of(tiff_of(1, 32)).code == ""
    assert header_of(tiff_of(1)).code == ""
    # plain pixels of more bytes than the file has
    large = tiff_of(1).replace(struct.pack("<HHII", 257, 4, 1, 4), struct.pack("<HHII", 257, 4, 1, 4000))
    assert header_of(large).code == "E_TRUNCATED"
    assert header_of(tiff_of(4400, 32)).code == "E_FRAME_COUNT"


def test_a_jpeg_stream_too_short_for_its_blocks_is_refused():
    data = bytearray(saved(grey(), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    struct.pack_into(">HH", data, at, 1000, 1000)
    assert header_of(bytes(data)).code == "E_DIMENSIONS"

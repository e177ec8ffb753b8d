"""Streams of every compressed syntax, whose pixels are known, and what becomes of damaged ones."""

from __future__ import annotations

import contextlib

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate

from medpipe.archive import dct_jpeg
from medpipe.archive.limits import LOSSLESS_JPEG
from medpipe.archive.lossless_jpeg import decode_lossless
from medpipe.archive.pixels import decode
from medpipe.errors import Rejected
from tests.archive.lossless_jpeg import encode

BASELINE, EXTENDED, SPECTRAL, PROGRESSIVE = (f"1.2.840.10008.1.2.4.{last}" for last in (50, 51, 53, 55))
LOSSLESS, FIRST_ORDER = (f"1.2.840.10008.1.2.4.{last}" for last in (57, 70))
JPEG_LS, NEAR_LOSSLESS, JPEG_2000, ANY_2000 = (f"1.2.840.10008.1.2.4.{last}" for last in (80, 81, 90, 91))
HTJ2K, HTJ2K_RPCL, ANY_HTJ2K = (f"1.2.840.10008.1.2.4.{last}" for last in (201, 202, 203))
RNG = np.random.default_rng(14)
SMOOTH = np.add.outer(np.arange(40) * 37, np.arange(48) * 29) % 4096


def filed(slice_of, bytes_of, streams, stored, syntax, *, bits, **elements) -> bytes:
    """Return a file of these streams, one a frame, for pixels like `stored`."""
    colour = stored.ndim == 3 and stored.shape[-1] == 3
    allocated = 8 if bits <= 8 else 16
    said = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0} if colour else {}
    said |= {"BitsAllocated": allocated, "BitsStored": bits, "HighBit": bits - 1, "NumberOfFrames": len(streams)}
    signed = stored.dtype == np.int16
    dataset = slice_of(stored, **{**said, "PixelRepresentation": int(signed), **elements})
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([stream + b"\0" * (len(stream) % 2) for stream in streams])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    return bytes_of(dataset)


def decoded(read, data: bytes) -> np.ndarray:
    return decode(read(data), data)


# process 14 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", range(2, 17))
def test_lossless_jpeg_of_every_predictor_and_precision(slice_of, bytes_of, read, bits):
    frames = [RNG.integers(0, 1 << bits, (9, 14)) for _ in range(7)]
    streams = [encode(frame, bits=bits, predictor=place) for place, frame in enumerate(frames, 1)]
    data = filed(slice_of, bytes_of, streams, frames[0], LOSSLESS, bits=bits)
    assert np.array_equal(decoded(read, data), frames)


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize(("restart_rows", "point_transform"), [(1, 0), (4, 0), (0, 1), (0, 3), (2, 2)])
def test_lossless_jpeg_with_restarts_and_point_transforms(predictor, restart_rows, point_transform):
    for bits in (8, 12, 16):
        image = RNG.integers(0, 1 << bits, (9, 14)) >> point_transform << point_transform
        stream = encode(
            image, bits=bits, predictor=predictor, restart_rows=restart_rows, point_transform=point_transform
        )
        assert np.array_equal(decode_lossless(stream, rows=9, columns=14, samples=1)[..., 0], image)


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("restart_rows", [0, 3])
def test_lossless_jpeg_in_colour(slice_of, bytes_of, read, interleaved, restart_rows):
    image = RNG.integers(0, 256, (9, 14, 3)).astype(np.uint8)
    stream = encode(image, bits=8, predictor=4, interleaved=interleaved, restart_rows=restart_rows)
    data = filed(slice_of, bytes_of, [stream], image, FIRST_ORDER, bits=8)
    assert np.array_equal(decoded(read, data)[0], image)


@pytest.mark.parametrize("bits", [12, 16])
def test_lossless_jpeg_of_signed_numbers(slice_of, bytes_of, read, bits):
    wanted = RNG.integers(-(1 << (bits - 1)), 1 << (bits - 1), (9, 14)).astype(np.int16)
    stream = encode(wanted.astype(np.int64) & ((1 << bits) - 1), bits=bits, predictor=1)
    data = filed(slice_of, bytes_of, [stream], wanted, FIRST_ORDER, bits=bits)
    assert np.array_equal(decoded(read, data)[0], wanted)


@pytest.mark.parametrize("predictor", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 12])
def test_differences_that_leave_the_range_and_come_back_are_added_modulo(bits, predictor):
    image = RNG.integers(0, 1 << bits, (9, 14))
    stream = encode(image, bits=bits, predictor=predictor, wraps=True)
    assert np.array_equal(decode_lossless(stream, rows=9, columns=14, samples=1)[..., 0], image)


def test_a_stream_on_which_two_decoders_differ_is_refused(slice_of, bytes_of, read):
    # a halved sum is another one after a carry that the standard has no word for
    image = RNG.integers(0, 256, (9, 14))
    stream = encode(image, bits=8, predictor=7, wraps=True)
    assert not np.array_equal(imagecodecs.jpeg8_decode(stream), image)
    with pytest.raises(Rejected, match="E_CODEC_DISAGREE"):
        decoded(read, filed(slice_of, bytes_of, [stream], image, LOSSLESS, bits=8))


def test_lossless_jpeg_that_another_encoder_wrote():
    image = SMOOTH.astype(np.uint16)
    for predictor in range(1, 8):
        stream = imagecodecs.jpeg8_encode(image, lossless=True, predictor=predictor, bitspersample=12)
        assert np.array_equal(decode_lossless(stream, rows=40, columns=48, samples=1)[..., 0], image)


@pytest.mark.parametrize("change", ["lost", "put in"])
def test_lossless_jpeg_with_bytes_lost_or_put_in_never_gives_other_pixels(slice_of, bytes_of, read, change):
    image = RNG.integers(0, 4096, (20, 30))
    whole = encode(image, bits=12, predictor=1)
    start = whole.index(b"\xff\xda") + 10
    others = 0
    for at in RNG.integers(start, len(whole) - 4, 60):
        extra = b"" if change == "lost" else bytes(RNG.integers(0, 255, 2, dtype=np.uint8))
        damaged = whole[:at] + extra + whole[at + (2 if change == "lost" else 0) :]
        with contextlib.suppress(Rejected):
            data = filed(slice_of, bytes_of, [damaged], image, LOSSLESS, bits=12)
            others += not np.array_equal(decoded(read, data)[0], image)
    assert others == 0


@pytest.mark.parametrize("syntax", sorted(LOSSLESS_JPEG))
def test_lossless_jpeg_of_more_bits_than_allocated_is_refused(slice_of, bytes_of, read, syntax):
    image = np.full((9, 14), 4000)
    stream = encode(image, bits=12)
    with pytest.raises(Rejected, match="E_DIMENSIONS"):
        decoded(read, filed(slice_of, bytes_of, [stream], image.astype(np.uint8), syntax, bits=8))


# lossy JPEG ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("syntax", "bits"), [(BASELINE, 8), (EXTENDED, 8), (EXTENDED, 12), (SPECTRAL, 12)])
def test_grey_lossy_jpeg_is_near_its_image(slice_of, bytes_of, read, syntax, bits):
    image = (128 + 100 * np.sin(SMOOTH / 700.0)) * (1 << (bits - 8))
    image = image.astype(np.uint8 if bits == 8 else np.uint16)
    stream = imagecodecs.jpeg8_encode(image, level=98, bitspersample=bits)
    found = decoded(read, filed(slice_of, bytes_of, [stream], image, syntax, bits=bits))
    assert np.abs(found[0].astype(int) - image).max() <= 12 << (bits - 8)
    assert np.abs(found[0].astype(int) - imagecodecs.jpeg8_decode(stream)).max() <= 1


def with_last_coefficient(stream: bytes, last: int) -> bytes:
    """Return a stream whose scan ends with this coefficient; T.81 B.2.3 wants 63 of a sequential one."""
    at = stream.index(b"\xff\xda") + 8
    return stream[:at] + bytes([last]) + stream[at + 1 :]


def test_a_grey_stream_that_one_of_two_codecs_refuses_is_refused(slice_of, bytes_of, read):
    image = (SMOOTH // 16).astype(np.uint8)
    stream = imagecodecs.jpeg8_encode(image, level=90)
    odd = with_last_coefficient(stream, 17)
    assert np.array_equal(imagecodecs.jpeg8_decode(odd), imagecodecs.jpeg8_decode(stream))
    with pytest.raises(Rejected, match="E_CODEC_ERROR"):
        decoded(read, filed(slice_of, bytes_of, [odd], image, BASELINE, bits=8))


@pytest.mark.parametrize(("syntax", "bits"), [(BASELINE, 8), (EXTENDED, 12)])
def test_a_sequential_scan_that_names_no_last_coefficient_has_all(slice_of, bytes_of, read, syntax, bits):
    image = (SMOOTH // (16 if bits == 8 else 1)).astype(np.uint8 if bits == 8 else np.uint16)
    stream = imagecodecs.jpeg8_encode(image, level=90, bitspersample=bits)
    odd = with_last_coefficient(stream, 0)
    found = decoded(read, filed(slice_of, bytes_of, [odd], image, syntax, bits=bits))
    assert np.array_equal(found[0], imagecodecs.jpeg8_decode(stream))


def test_a_progressive_scan_of_means_alone_stays_what_it_is(slice_of, bytes_of, read):
    image = (SMOOTH // 16).astype(np.uint8)
    stream = imagecodecs.jpeg8_encode(image, level=90)
    # a frame that says it is progressive has scans of parts (T.81 G.1.1)
    odd = with_last_coefficient(stream, 0).replace(b"\xff\xc0", b"\xff\xc2", 1)
    assert dct_jpeg._with_all_coefficients(odd) is odd


def test_the_file_whose_scan_names_no_last_coefficient_is_read_as_another_reader_reads_it(read, data_root):
    data = (data_root / "archive" / "lab" / "test_files" / "JPEG-lossy.dcm").read_bytes()
    found = decode(read(data), data)
    # SimpleITK's answers
    assert (found.min(), found.max()) == (0, 264)
    assert (found.mean(), found.std()) == (pytest.approx(14.369991302490234), pytest.approx(21.614856009848005))


def test_codecs_that_differ_by_more_than_rounding_refuse_a_lossy_image(slice_of, bytes_of, read, monkeypatch):
    image = (SMOOTH // 16).astype(np.uint8)
    data = filed(slice_of, bytes_of, [imagecodecs.jpeg8_encode(image, level=90)], image, BASELINE, bits=8)
    true = dct_jpeg.jpeg8_decode
    monkeypatch.setattr(dct_jpeg, "jpeg8_decode", lambda stream: true(stream) ^ 4)
    with pytest.raises(Rejected, match="E_CODEC_DISAGREE"):
        decoded(read, data)


def test_retired_processes_in_colour_are_refused(slice_of, bytes_of, read):
    image = np.zeros((16, 16, 3), np.uint8)
    stream = imagecodecs.jpeg8_encode(image, level=90)
    assert read(filed(slice_of, bytes_of, [stream], image, PROGRESSIVE, bits=8)).code == "E_UNSUPPORTED_TS"


# JPEG-LS, JPEG 2000, HTJ2K --------------------------------------------------------------------


def encoder_of(syntax: str):
    if syntax == JPEG_LS:
        return imagecodecs.jpegls_encode
    if syntax in {HTJ2K, HTJ2K_RPCL, ANY_HTJ2K}:
        return lambda image: imagecodecs.htj2k_encode(image, reversible=True)
    return lambda image: imagecodecs.jpeg2k_encode(image, codecformat="j2k", reversible=True, level=0)


@pytest.mark.parametrize("syntax", [JPEG_LS, JPEG_2000, ANY_2000, HTJ2K, HTJ2K_RPCL, ANY_HTJ2K])
@pytest.mark.parametrize("bits", [8, 16])
def test_lossless_syntaxes_give_back_what_another_encoder_took(slice_of, bytes_of, read, syntax, bits):
    image = (SMOOTH * 16 >> (16 - bits)).astype(np.uint8 if bits == 8 else np.uint16)
    frames = [image, image[::-1].copy()]
    data = filed(slice_of, bytes_of, [encoder_of(syntax)(one) for one in frames], image, syntax, bits=bits)
    assert np.array_equal(decoded(read, data), frames)


@pytest.mark.parametrize("syntax", [JPEG_LS, JPEG_2000, HTJ2K])
def test_lossless_syntaxes_keep_colour(slice_of, bytes_of, read, syntax):
    image = RNG.integers(0, 256, (40, 48, 3)).astype(np.uint8)
    photometric = "RGB" if syntax == JPEG_LS else "YBR_RCT"
    data = filed(
        slice_of,
        bytes_of,
        [encoder_of(syntax)(image)],
        image,
        syntax,
        bits=8,
        PhotometricInterpretation=photometric,
    )
    assert np.array_equal(decoded(read, data)[0], image)


@pytest.mark.parametrize("syntax", [JPEG_2000, HTJ2K])
def test_signed_numbers_in_streams_that_know_signs(slice_of, bytes_of, read, syntax):
    image = (SMOOTH - 2048).astype(np.int16)
    data = filed(slice_of, bytes_of, [encoder_of(syntax)(image)], image, syntax, bits=16)
    assert np.array_equal(decoded(read, data)[0], image)


def test_near_lossless_is_as_near_as_it_says(slice_of, bytes_of, read):
    image = (SMOOTH // 16).astype(np.uint8)
    stream = imagecodecs.jpegls_encode(image, level=3)
    found = decoded(read, filed(slice_of, bytes_of, [stream], image, NEAR_LOSSLESS, bits=8))
    assert 0 < np.abs(found[0].astype(int) - image).max() <= 3


@pytest.mark.parametrize("change", ["lost", "put in"])
def test_jpeg_2000_with_bytes_lost_or_put_in_never_gives_other_pixels(slice_of, bytes_of, read, change):
    image = SMOOTH.astype(np.uint16)
    whole = encoder_of(JPEG_2000)(image)
    others = 0
    for at in RNG.integers(200, len(whole) - 4, 60):
        damaged = whole[:at] + (whole[at + 2 :] if change == "lost" else b"\1\2" + whole[at:])
        with contextlib.suppress(Rejected):
            data = filed(slice_of, bytes_of, [damaged], image, JPEG_2000, bits=16)
            others += not np.array_equal(decoded(read, data)[0], image)
    assert others == 0

"""NIfTI and NRRD held against nibabel, SimpleITK and arithmetic."""

from __future__ import annotations

import gzip
import io
import itertools
import math
import struct
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medpipe.archive.assemble import assemble
from medpipe.archive.header import Header
from medpipe.archive.other.block import frames_in
from medpipe.archive.other.door import HEAD_BYTES, read_other
from medpipe.archive.voxels import load_volume
from medpipe.errors import Rejected
from tests.archive.other_files import AFFINE, header_of, nifti, nrrd, placed, read, voxels

TYPES = [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64, np.int64, np.uint64]


def nibabel_of(data, image=nib.Nifti1Image):
    plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    return image.from_bytes(plain)


def assert_like_nibabel(data, image=nib.Nifti1Image):
    found = nibabel_of(data, image)
    _, stack, volume = read(data)
    array, affine = placed(found.get_fdata(), found.affine)
    assert volume.data.shape == array.shape[-volume.data.ndim :] or volume.data.shape == array.shape
    np.testing.assert_array_equal(volume.data, array.astype(np.float32))
    np.testing.assert_allclose(volume.geometry.matrix, affine, rtol=0, atol=1e-9)
    return stack, volume


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_in_both_byte_orders(dtype, order):
    assert_like_nibabel(nifti(voxels(dtype=dtype), order=order))


@pytest.mark.parametrize("packed", [False, True])
def test_second_version(packed):
    data = nifti(voxels(), image=nib.Nifti2Image, packed=packed)
    assert_like_nibabel(data, nib.Nifti2Image)


@pytest.mark.parametrize(
    "ornt", list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))
)
def test_every_orientation_keeps_each_voxel_at_its_point(ornt):
    axes, signs = ornt
    rotation = np.zeros((4, 4))
    rotation[3, 3] = 1
    for axis, sign in zip(axes, signs, strict=True):
        rotation[axis, axes.index(axis)] = sign
    affine = AFFINE @ rotation
    data = nifti(voxels(), affine)
    stack, volume = assert_like_nibabel(data)
    assert stack.verdict == "regular"
    # ascending along the normal, as volumes of DICOM are
    matrix = volume.geometry.matrix[:3, :3]
    assert np.linalg.det(matrix) > 0
    found = nibabel_of(data)
    lps = np.diag([-1, -1, 1, 1]) @ found.affine
    for index in ((0, 0, 0), (6, 0, 0), (0, 5, 4), (3, 2, 1)):
        z = index[2] if np.linalg.det(lps[:3, :3]) > 0 else 4 - index[2]
        point = volume.geometry.matrix @ [index[0], index[1], z, 1]
        np.testing.assert_allclose(point, lps @ [*index, 1], atol=1e-9)
        assert volume.data[z, index[1], index[0]] == found.get_fdata()[index]


def test_by_simpleitk_too(tmp_path):
    affine = AFFINE.copy()
    turn = 0.3
    affine[:3, :3] = (
        np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
        @ affine[:3, :3]
    )
    data = nifti(voxels(), affine)
    (tmp_path / "a.nii").write_bytes(data)
    image = sitk.ReadImage(str(tmp_path / "a.nii"))
    _, _, volume = read(data)
    np.testing.assert_array_equal(volume.data, sitk.GetArrayFromImage(image).astype(np.float32))
    own = np.eye(4)
    own[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    own[:3, 3] = image.GetOrigin()
    np.testing.assert_allclose(volume.geometry.matrix, own, atol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_qform_alone(seed):
    rng = np.random.default_rng(seed)
    image = nib.Nifti1Image(voxels(), np.eye(4))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn * rng.uniform(0.5, 3, 3)
    affine[:3, 3] = rng.normal(0, 100, 3)
    image.set_sform(None, 0)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    data = image.to_bytes()
    stack, _ = assert_like_nibabel(data)
    assert stack.flags == ()


def test_the_sform_counts_before_the_qform_and_a_disagreement_is_told():
    image = nib.Nifti1Image(voxels(), AFFINE)
    image.header.set_xyzt_units("mm")
    image.set_qform(AFFINE, 1)
    same, _ = assert_like_nibabel(image.to_bytes())
    assert same.flags == ()
    moved = AFFINE.copy()
    moved[0, 3] += 4
    image.set_qform(moved, 1)
    other, _ = assert_like_nibabel(image.to_bytes())
    assert other.flags == ("W_AFFINES",)


def test_lengths_in_other_units_become_millimetres():
    tiny = AFFINE.copy()
    tiny[:3] /= 1000
    for units, factor in ((1, 1000), (3, 0.001)):
        own = AFFINE.copy()
        own[:3] /= factor
        _, _, volume = read(nifti(voxels(), own, xyzt_units=units))
        np.testing.assert_allclose(volume.geometry.matrix, placed(voxels(), AFFINE)[1], rtol=1e-6)
    _, stack, _ = read(nifti(voxels(), xyzt_units=0))
    assert stack.flags == ("W_UNITS",)


@pytest.mark.parametrize(
    ("slope", "intercept", "code"),
    [
        (2.5, -1024, ""),
        (0, 7, ""),
        (math.nan, math.nan, ""),
        (-1, 0, ""),
        (2, math.nan, "E_RESCALE"),
        (math.inf, 0, ""),
    ],
)
def test_slope_and_intercept(slope, intercept, code):
    data = nifti(voxels(), scl_slope=slope, scl_inter=intercept)
    if code:
        assert header_of(data).code == code
        return
    _, stack, volume = read(data)
    factor, shift = (slope, intercept) if slope and math.isfinite(slope) else (1, 0)
    expected = np.moveaxis(voxels().astype(np.float64) * factor + shift, (0, 1, 2), (2, 1, 0))
    np.testing.assert_array_equal(volume.data, expected.astype(np.float32))
    assert stack.values == ("rescale" if slope and math.isfinite(slope) else "stored")


def test_a_file_without_a_place_has_none():
    _, stack, volume = read(nifti(voxels(), sform_code=0))
    assert (stack.kind, stack.verdict, stack.flags) == ("multiframe", "multiframe", ("W_UNPLACED",))
    assert volume.geometry.affine_lps is None
    assert volume.geometry.spacing_mm == (2.5, 0.5, 0.75)


def test_a_shear_is_kept_and_told():
    sheared = AFFINE.copy()
    sheared[:3, 2] = (0, 0.6, 2.5)
    stack, _ = assert_like_nibabel(nifti(voxels(), sheared))
    assert (stack.verdict, stack.flags) == ("tilted", ("W_TILTED",))
    assert stack.tilt_deg == pytest.approx(math.degrees(math.atan2(0.6, 2.5)))
    assert stack.spacing_mm == pytest.approx((2.5, 0.5, 0.75))


def test_axes_of_a_plane_that_are_not_at_right_angles_are_refused():
    bent = AFFINE.copy()
    bent[:3, 1] = (0.2, -0.5, 0)
    _, stack, _ = read(nifti(voxels(), bent))
    assert stack.code == "E_ORIENTATION"


def test_times():
    series = voxels((6, 5, 4, 3))
    stack, volume = assert_like_nibabel(nifti(series))
    assert (stack.kind, volume.geometry.axes, volume.data.shape) == ("series4d", "tzyx", (3, 4, 5, 6))
    # stored against the normal, so that slices are turned in each time
    left = AFFINE @ np.diag([-1, 1, 1, 1.0])
    assert_like_nibabel(nifti(series, left))


def test_colours():
    colours = np.random.default_rng(1).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    _, stack, volume = read(nifti(colours.view(kind)[..., 0]))
    assert (stack.kind, volume.geometry.axes) == ("colour", "czyx")
    np.testing.assert_array_equal(volume.data, colours.transpose(3, 2, 1, 0))
    assert stack.affine_lps is not None


def test_a_single_slice():
    stack, _ = assert_like_nibabel(nifti(voxels((9, 8, 1))))
    assert stack.verdict == "single"


def test_headers_survive_being_kept():
    for data in (nifti(voxels(), packed=True), nrrd(voxels().T, AFFINE)):
        header = header_of(data)
        assert Header.from_line(header.to_line()) == header


def test_the_head_of_a_file_is_enough():
    noise = np.random.default_rng(0).integers(0, 1 << 15, (128, 128, 80), dtype=np.int16)
    for data in (nifti(noise), nifti(noise, packed=True), nrrd(noise.T, AFFINE, encoding="gzip")):
        assert len(data) > HEAD_BYTES
        whole = header_of(data)
        head = read_other(
            data[:HEAD_BYTES],
            path="a",
            size=len(data),
            version="1",
            digest=whole.head_digest,
            head_bytes=whole.head_bytes,
        )
        assert head == whole


# NRRD ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior", "left-anterior-superior"])
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("signs", [(1, 1, 1), (1, -1, 1), (-1, -1, -1)])
def test_nrrd_by_simpleitk(tmp_path, space, encoding, signs):
    affine = AFFINE @ np.diag([*signs, 1.0])
    array = voxels().T
    data = nrrd(array, affine, space=space, encoding=encoding)
    (tmp_path / "a.nrrd").write_bytes(data)
    image = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    own = np.eye(4)
    own[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    own[:3, 3] = image.GetOrigin()
    expected, matrix = placed(sitk.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ own)
    _, stack, volume = read(data)
    np.testing.assert_array_equal(volume.data, expected.astype(np.float32))
    np.testing.assert_allclose(volume.geometry.matrix, matrix, atol=1e-12)
    assert (stack.kind, stack.verdict) == ("enhanced", "regular")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.float32])
def test_nrrd_written_by_simpleitk(tmp_path, dtype):
    image = sitk.GetImageFromArray(voxels(dtype=dtype).T)
    image.SetSpacing((0.5, 0.75, 3))
    image.SetOrigin((-10, 20, 30.5))
    for packed in (False, True):
        sitk.WriteImage(image, str(tmp_path / "a.nrrd"), useCompression=packed)
        _, _, volume = read((tmp_path / "a.nrrd").read_bytes())
        np.testing.assert_array_equal(volume.data, voxels(dtype=dtype).T.astype(np.float32))
        assert volume.geometry.spacing_mm == (3, 0.75, 0.5)


def test_nrrd_without_a_patient_is_not_placed():
    array = voxels().T
    for lines in (["spacings: 0.5 0.75 3"], ["space dimension: 3", "space directions: (0.5,0,0) (0,0.75,0) (0,0,3)"]):
        _, stack, volume = read(nrrd(array, None, lines=lines))
        assert (stack.flags, volume.geometry.affine_lps, volume.geometry.spacing_mm) == (
            ("W_UNPLACED",),
            None,
            (3, 0.75, 0.5),
        )
    _, stack, _ = read(nrrd(array, None))
    assert stack.spacing_mm is None


@pytest.mark.parametrize("first", [True, False])
def test_nrrd_times_lie_before_or_behind_space(first):
    series = voxels((3, 5, 6, 7))
    stored = np.moveaxis(series, 0, -1) if first else series
    kinds = ["list", "domain", "domain", "domain"] if first else ["domain", "domain", "domain", "list"]
    stored = np.ascontiguousarray(stored)
    _, stack, volume = read(nrrd(stored, AFFINE, kinds=kinds))
    assert (stack.kind, volume.geometry.axes) == ("series4d", "tzyx")
    np.testing.assert_array_equal(volume.data, series.astype(np.float32))


def test_nrrd_colours():
    colours = np.random.default_rng(2).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    _, stack, volume = read(nrrd(colours, AFFINE, kinds=["RGB-color", "domain", "domain", "domain"]))
    assert stack.kind == "colour"
    np.testing.assert_array_equal(volume.data, np.moveaxis(colours, -1, 0))


def test_nrrd_skips():
    array = voxels().T
    for lines, skip in ((["byte skip: 12"], b"x" * 12), (["byte skip: -1"], b"x" * 33)):
        _, _, volume = read(nrrd(array, AFFINE, lines=lines, skip=skip))
        np.testing.assert_array_equal(volume.data, array.astype(np.float32))


# what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"magic": b"ni1\0"}, "E_DETACHED"),
        ({"datatype": 32, "bitpix": 64}, "E_FORMAT"),
        ({"datatype": 1536, "bitpix": 128}, "E_FORMAT"),
        ({"bitpix": 8}, "E_HEADER"),
        ({"dim": [3, 7, 6, 500, 1, 1, 1, 1]}, "E_TRUNCATED"),
        ({"dim": [3, 7, 6, -5, 1, 1, 1, 1]}, "E_DIMENSIONS"),
        ({"dim": [3, 0, 6, 5, 1, 1, 1, 1]}, "E_DIMENSIONS"),
        ({"dim": [9, 7, 6, 5, 1, 1, 1, 1]}, "E_DIMENSIONS"),
        ({"dim": [5, 7, 6, 5, 1, 3, 1, 1]}, "E_DIMENSIONS"),
        ({"dim": [4, 32767, 32767, 32767, 32767, 1, 1, 1]}, "E_DIMENSIONS"),
        ({"vox_offset": 0}, "E_LENGTH"),
        ({"vox_offset": math.nan}, "E_LENGTH"),
        ({"vox_offset": 1e20}, "E_TRUNCATED"),
        ({"vox_offset": 360}, "E_TRUNCATED"),
        ({"srow_x": [math.nan, 0, 0, 0]}, "E_NONFINITE"),
        ({"srow_x": [0, 0, 0, 0]}, "E_ORIENTATION"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": 3.0}, "E_ORIENTATION"),
        ({"sform_code": 0, "qform_code": 1, "pixdim": [1, 0, 1, 1, 1, 1, 1, 1]}, "E_SPACING"),
    ],
)
def test_bad_nifti_headers(fields, code):
    for packed in (False, True):
        found = header_of(nifti(voxels(), packed=packed, **fields))
        # how many bytes a packed stream holds shows when it is unpacked
        expected = {"", code} if packed and code == "E_TRUNCATED" else {code}
        assert found.code in expected
        assert found.format == "nifti"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"encoding: raw", b"encoding: bzip2", "E_FORMAT"),
        (b"encoding: raw", b"encoding: ascii", "E_FORMAT"),
        (b"encoding: raw", b"data file: a.raw\nencoding: raw", "E_DETACHED"),
        (b"encoding: raw", b"datafile: a.raw\nencoding: raw", "E_DETACHED"),
        (b"encoding: raw\n", b"", "E_HEADER"),
        (b"endian: little\n", b"", "E_HEADER"),
        (b"type: int16", b"type: block", "E_FORMAT"),
        (b"type: int16", b"type: cat", "E_HEADER"),
        (b"dimension: 3", b"dimension: 4", "E_DIMENSIONS"),
        (b"dimension: 3", b"dimension: 99999999999999999999999", "E_DIMENSIONS"),
        (b"sizes: 7 6 5", b"sizes: 7 6 -5", "E_DIMENSIONS"),
        (b"sizes: 7 6 5", b"sizes: 7 6 0", "E_DIMENSIONS"),
        (b"sizes: 7 6 5", b"sizes: 7 6 50", "E_TRUNCATED"),
        (b"sizes: 7 6 5", b"sizes: 60000 60000 60000", "E_DIMENSIONS"),
        (b"sizes: 7 6 5", b"sizes: 7 6 5\nsizes: 7 6 5", "E_HEADER"),
        (b"space directions: (", b"space directions: (nan,0,0) (", "E_HEADER"),
        (b"space origin: (", b"space origin: (nan,0,0)(", "E_HEADER"),
        (b"space origin: (", b"space origin: (x", "E_HEADER"),
        (b"# made by hand", b"byte skip: -2", "E_FORMAT"),
        (b"# made by hand", b"line skip: 1", "E_FORMAT"),
        (b"# made by hand", b'space units: "parsec" "parsec" "parsec"', "E_FORMAT"),
        (b"# made by hand", b"kinds: domain domain vector", "E_NONE"),
        (b"\n\n", b"\n", "E_TRUNCATED"),
    ],
)
def test_bad_nrrd_headers(old, new, code):
    data = nrrd(voxels().T, placed(voxels(), AFFINE)[1])
    assert data.count(old) >= 1
    found = header_of(data.replace(old, new, 1))
    assert (found.code, found.format) == ("" if code == "E_NONE" else code, "nrrd")


def test_nrrd_of_vectors_is_refused():
    vectors = voxels((5, 6, 7, 3), np.float32)
    kinds = ["vector", "domain", "domain", "domain"]
    assert header_of(nrrd(vectors, AFFINE, kinds=kinds)).code == "E_FORMAT"


def test_what_is_no_number_refuses_the_volume():
    data = voxels(dtype=np.float32)
    data[2, 2, 2] = np.nan
    with pytest.raises(Rejected, match="E_NONFINITE"):
        read(nifti(data))


def test_every_truncation_is_refused():
    whole = nifti(voxels())
    packed = nifti(voxels(), packed=True)
    lines = nrrd(voxels().T, placed(voxels(), AFFINE)[1], encoding="gzip")
    for data in (whole, packed, lines):
        for length in range(0, len(data), 7):
            header = header_of(data[:length])
            if header.code:
                continue
            stacks = assemble([header]).stacks
            with pytest.raises(Rejected):
                load_volume(stacks[0], {"a": header}, lambda _, held=data[:length]: held)


def test_flipped_bytes_never_raise_anything_else():
    rng = np.random.default_rng(4)
    files = [
        nifti(voxels()),
        nifti(voxels(), packed=True),
        nifti(voxels(), image=nib.Nifti2Image),
        nrrd(voxels().T, placed(voxels(), AFFINE)[1]),
        nrrd(voxels().T, placed(voxels(), AFFINE)[1], encoding="gzip"),
    ]
    for data in files:
        for _ in range(300):
            changed = bytearray(data)
            for at in rng.integers(0, min(len(data), 600), 3):
                changed[at] = rng.integers(0, 256)
            header = header_of(bytes(changed))
            if header.code or not header.format:
                continue
            stack = assemble([header]).stacks[0]
            if not stack.refused:
                try:
                    load_volume(stack, {"a": header}, lambda _, held=bytes(changed): held)
                except Rejected:
                    continue


def test_a_bomb_costs_little():
    deflated = gzip.compress(bytes(64 << 20), 9, mtime=0)
    head = gzip.compress(nifti(voxels()), mtime=0)
    # more than is declared, in a second member of the stream
    bomb = head + deflated * 8
    tracemalloc.start()
    header = header_of(bomb)
    assert header.code == ""
    with pytest.raises(Rejected, match="E_LENGTH"):
        read(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    # more is declared than so many bytes can hold
    assert header_of(nifti(voxels(), packed=True, dim=[3, 4000, 4000, 60, 1, 1, 1, 1])).code == "E_TRUNCATED"


def test_a_stream_out_of_proportion_is_read_through_before_it_is_held(monkeypatch):
    monkeypatch.setattr("medpipe.archive.other.block._HELD_FREE_BYTES", 1 << 20)
    data = nifti(np.zeros((200, 200, 200), dtype=np.uint8), packed=True)
    tracemalloc.start()
    with pytest.raises(Rejected, match="E_CODEC_ERROR"):
        frames_in(header_of(data).block, data[:-8] + b"else" + data[-4:])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 << 20
    assert not frames_in(header_of(data).block, data).any()
    monkeypatch.setattr("medpipe.archive.other.block._FREE_BYTES", 1 << 20)
    assert header_of(data).code == "E_ARCHIVE_RATIO"


def test_thousands_of_empty_streams_behind_a_volume_are_passed_over():
    data = nifti(voxels(), packed=True)
    np.testing.assert_array_equal(read(data + gzip.compress(b"", mtime=0) * 5000)[2].data, read(data)[2].data)


def test_a_damaged_stream_is_told():
    packed = bytearray(nifti(voxels((32, 32, 32)), packed=True))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(Rejected, match=r"E_CODEC_ERROR|E_TRUNCATED"):
        read(bytes(packed))


def test_more_voxels_than_are_declared_are_told():
    _, stack, volume = read(nifti(voxels()) + bytes(100))
    assert stack.flags == ("W_EXCESS",)
    np.testing.assert_array_equal(volume.data, read(nifti(voxels()))[2].data)
    assert read(nifti(voxels()) + b"\n")[1].flags == ()


def test_extensions_of_the_header_are_passed_over():
    image = nib.Nifti1Image(voxels(), AFFINE)
    image.header.set_xyzt_units("mm")
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"somebody's name " * 100))
    data = image.to_bytes()
    assert struct.unpack_from("<f", data, 108)[0] > 1000
    stack, _ = assert_like_nibabel(data)
    assert stack.verdict == "regular"


# the reference data -------------------------------------------------------------------------------


@pytest.mark.data
def test_reference_volumes_by_simpleitk(data_root):
    names = [*sorted((data_root / "ibsi").rglob("*.nii.gz")), *sorted((data_root / "radiomics").glob("*.nrrd"))]
    names += sorted((data_root / "rtstruct_masks").glob("*.nii.gz"))
    assert len(names) == 16
    for name in names:
        image = sitk.ReadImage(str(name))
        own = np.eye(4)
        own[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        own[:3, 3] = image.GetOrigin()
        expected, matrix = placed(sitk.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ own)
        _, stack, volume = read(name.read_bytes())
        np.testing.assert_array_equal(volume.data, expected.astype(np.float32))
        np.testing.assert_allclose(volume.geometry.matrix, matrix, atol=1e-6)
        assert stack.flags == ()


def test_a_stream_of_two_members_is_one_file():
    data = nifti(voxels())
    parts = gzip.compress(data[:500]) + gzip.compress(data[500:])
    _, _, volume = read(parts)
    np.testing.assert_array_equal(volume.data, read(data)[2].data)
    assert io.BytesIO(parts).read(2) == b"\x1f\x8b"

from __future__ import annotations

import dataclasses
import json
import struct
import tracemalloc
from collections import Counter
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from medpipe.contracts.images import View
from medpipe.errors import ConfigError, Rejected
from medpipe.ops.registry import make, registered, spec_of
from medpipe.ops.views.png import png_bytes
from medpipe.types import Geometry, Region, Volume

SHAPE, SPACING = (10, 30, 40), (5.0, 1.0, 1.5)


def view(name, **given):
    return make("views", {"op": name, **given}, "route.0.views.0")


def volume(columns=((1, 0, 0), (0, 1, 0), (0, 0, 1)), *, shape=SHAPE, spacing=SPACING, origin=(-20.0, 7.0, 100.0)):
    """Return a dark image with a bright voxel at (z, y, x) = (2, 4, 6); columns are directions of x, y, z."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(columns, dtype=float).T * np.array(spacing[::-1])
    matrix[:3, 3] = origin
    data = np.zeros(shape, np.float32)
    data[tuple(np.minimum((2, 4, 6), np.array(shape) - 1))] = 100.0
    data.flags.writeable = False
    geometry = Geometry(shape=shape, spacing_mm=spacing, affine_lps=tuple(matrix.reshape(-1).tolist()))
    return Volume(data=data, geometry=geometry, modality="CT", unit="HU")


def pixels(file):
    with Image.open(BytesIO(file.data)) as picture:
        assert picture.mode == "L"
        return np.asarray(picture), picture.info


def ball(radius=12.0, *, shape=(32, 30, 28)):
    middle = [(size - 1) / 2 for size in shape]
    axes = np.ogrid[tuple(slice(0, size) for size in shape)]
    return sum((axis - at) ** 2 for axis, at in zip(axes, middle, strict=True)) <= radius**2


def placed(shape=(32, 30, 28), columns=((1, 0, 0), (0, 1, 0), (0, 0, 1)), spacing=(1.0, 1.0, 1.0)):
    return volume(columns, shape=shape, spacing=spacing, origin=(10.0, -20.0, 30.0))


def read_stl(data):
    (count,) = struct.unpack_from("<I", data, 80)
    assert len(data) == 84 + 50 * count
    kind = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    triangles = np.frombuffer(data, kind, offset=84)
    return triangles["corners"].astype(np.float64), triangles["normal"]


def read_glb(data):
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    scene = json.loads(data[20 : 20 + size])
    start = 20 + size + 8
    assert struct.unpack_from("<I4s", data, 20 + size) == (len(data) - start, b"BIN\0")
    parts = [
        data[start + one["byteOffset"] : start + one["byteOffset"] + one["byteLength"]] for one in scene["bufferViews"]
    ]
    points = np.frombuffer(parts[0], "<f4").reshape(-1, 3).astype(np.float64)
    return scene, points, np.frombuffer(parts[1], "<u4").reshape(-1, 3)


def enclosed(corners):
    return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))) / 6.0


def edges_of(corners):
    """Count directed edges between points that are equal to the bit."""
    names = {}
    found = Counter()
    for triangle in corners:
        a, b, c = (names.setdefault(point.tobytes(), len(names)) for point in triangle)
        found.update([(a, b), (b, c), (c, a)])
    return found


# what every view must do --------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(registered("views")))
def test_a_view_is_a_documented_record_that_repeats_its_bytes(name):
    one = view(name)
    assert isinstance(one, View)
    assert (type(one).__doc__ or "").strip()
    assert dataclasses.is_dataclass(one)
    assert not hasattr(one, "__dict__")
    assert (
        make("views", {"op": name, **{k: v for k, v in spec_of(one).items() if k not in ("op", "version")}}, "") == one
    )
    given = volume()
    regions = (Region(mask=given.data > 0, name="spot"),)
    first, again = tuple(one(given, regions)), tuple(one(given, regions))
    assert [file.data for file in first] == [file.data for file in again]
    assert len({file.name for file in first}) == len(first) == 1
    needs = [one.memory(volume(shape=(planes, 30, 40)).geometry) for planes in (3, 10, 400)]
    assert needs == sorted(needs)


@pytest.mark.parametrize("name", sorted(registered("views")))
@pytest.mark.parametrize("axes", ["zyx", "tzyx"])
def test_the_projected_memory_covers_what_the_call_takes(name, axes):
    one, shape = view(name), (40, 96, 90)
    data = np.random.default_rng(1).random(shape if axes == "zyx" else (2, *shape)).astype(np.float32)
    given = volume(shape=shape)
    given = given.with_data(data, geometry=replace(given.geometry, shape=data.shape, axes=axes))
    regions = (Region(mask=ball(40.0, shape=shape), name="ball"),)
    tuple(one(given, regions))
    tracemalloc.start()
    tuple(one(given, regions))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    stated = one.memory(given.geometry)
    assert peak <= 1.25 * stated
    assert stated <= 4 * peak + (1 << 20)


# pictures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixel_mm", [1e-7, 1e-310])
def test_a_png_of_pixels_too_small_to_be_told_does_not_tell_them(pixel_mm):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert png_bytes(grey, pixel_mm=pixel_mm) == png_bytes(grey)


def test_a_png_is_what_others_read_and_says_how_large_a_pixel_is():
    grey = np.random.default_rng(2).integers(0, 256, (300, 411)).astype(np.uint8)
    with Image.open(BytesIO(png_bytes(grey, pixel_mm=2.0))) as picture:
        picture.load()
        np.testing.assert_array_equal(np.asarray(picture), grey)
        assert picture.info["dpi"] == pytest.approx((12.7, 12.7), abs=0.01)
    with Image.open(BytesIO(png_bytes(grey[:1, :1]))) as picture:
        assert picture.size == (1, 1)


AXIAL_COLUMNS = {
    "as usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "feet last": ((1, 0, 0), (0, 1, 0), (0, 0, -1)),
    "face down": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "coronal": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
    "oblique": ((0.96, 0.28, 0), (-0.28, 0.96, 0), (0, 0, 1)),
}


@pytest.mark.parametrize("columns", AXIAL_COLUMNS.values(), ids=AXIAL_COLUMNS)
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_projection_shows_the_patient_the_way_it_is_read(columns, plane):
    given = volume(columns, spacing=(2.0, 2.0, 2.0))
    grey, _ = pixels(view("projection", plane=plane, low=0.0, high=100.0)(given, ())[0])
    assert (grey == 255).sum() == 1
    row, column = (int(place[0]) for place in np.nonzero(grey == 255))
    # where the voxel is in the patient, measured from the ends of the image
    axes = np.array(columns).T.round()
    corner = axes @ np.array(SHAPE[::-1])
    spot = axes @ np.array([6.5, 4.5, 2.5])
    left, back, head = (at if end > 0 else at - end for at, end in zip(spot, corner, strict=True))
    height_head = abs(corner[2])
    expected = {
        "axial": (back, left),
        "coronal": (height_head - head, left),
        "sagittal": (height_head - head, back),
    }[plane]
    assert (row + 0.5, column + 0.5) == pytest.approx(expected)


def test_a_projection_has_square_pixels_of_the_finer_edge():
    (file,) = view("projection", plane="coronal", how="max")(volume(), ())
    grey, info = pixels(file)
    # 10 slices of 5 mm, 40 columns of 1.5 mm: pixels of 1.5 mm
    assert grey.shape == (34, 40)
    assert file.facts["pixel_mm"] == 1.5
    assert info["dpi"] == pytest.approx((25.4 / 1.5,) * 2, rel=0.01)
    assert (file.facts["width"], file.facts["height"]) == (40, 34)


def test_lowest_mean_and_inverted_projections_by_hand():
    given = volume(shape=(4, 6, 8), spacing=(1.0, 1.0, 1.0))
    data = np.full((4, 6, 8), 50.0, np.float32)
    data[1, 2, 3] = 10.0
    data[2, 2, 3] = np.nan
    given = given.with_data(data)

    def shown(**how):
        return pixels(view("projection", plane="axial", low=0.0, high=100.0, **how)(given, ())[0])[0]

    assert Counter(shown(how="min").reshape(-1).tolist()) == {128: 47, 26: 1}
    assert shown(how="mean")[2, 3] == round((50 + 50 + 10) / 3 / 100 * 255)
    assert Counter(shown(how="max", inverted=True).reshape(-1).tolist()) == {127: 48}


def test_without_a_window_the_tails_are_beyond_the_grey_levels():
    data = np.random.default_rng(3).normal(40, 10, (3, 60, 60)).astype(np.float32)
    given = volume(shape=(3, 60, 60), spacing=(1.0, 1.0, 1.0)).with_data(data)
    (file,) = view("projection", plane="axial")(given, ())
    low, high = np.percentile(data.max(axis=0), (0.5, 99.5))
    assert (file.facts["low"], file.facts["high"]) == pytest.approx((low, high))
    grey, _ = pixels(file)
    assert (grey.min(), grey.max()) == (0, 255)


def test_a_thumbnail_has_the_longer_edge_that_was_asked_for_whatever_the_image():
    for shape, spacing in (
        ((10, 300, 400), (5.0, 1.0, 1.5)),
        ((1, 20, 16), (1.0, 1.0, 1.0)),
        ((7, 33, 70), (2.0, 0.7, 0.7)),
    ):
        given = volume(shape=(max(shape[0], 3), *shape[1:]), spacing=spacing)
        for plane in ("stored", "axial"):
            (file,) = view("thumbnail", size=64, plane=plane)(given, ())
            assert max(pixels(file)[0].shape) in (64, 65)


def test_a_thumbnail_needs_no_place_and_shows_time_series_and_colour_as_means():
    data = np.random.default_rng(1).random((3, 1, 40, 32)).astype(np.float32)
    given = Volume(data=data, geometry=Geometry(shape=data.shape, axes="czyx"), modality="US")
    (file,) = view("thumbnail", size=40, low=0.0, high=1.0)(given, ())
    expected = np.floor(data[:, 0].mean(axis=0) * 255 + 0.5)
    np.testing.assert_allclose(pixels(file)[0], expected, atol=1)
    assert file.facts["pixel_mm"] is None


def test_what_cannot_be_shown_is_refused_by_its_code():
    bare = replace(volume(), geometry=Geometry(shape=SHAPE, spacing_mm=SPACING))
    nothing = volume().with_data(np.full(SHAPE, np.nan, np.float32))
    nowhere = replace(volume(), geometry=replace(volume().geometry, spacing_mm=None))
    spot = Region(mask=volume().data > 0, name="spot")
    empty = Region(mask=np.zeros(SHAPE, bool), name="empty")
    for name, image, regions, code in (
        ("projection", bare, (), "W_UNPLACED"),
        ("projection", nowhere, (), "E_SPACING"),
        ("projection", nothing, (), "E_NONFINITE"),
        ("thumbnail", nothing, (), "E_NONFINITE"),
        ("surface", bare, (spot,), "W_UNPLACED"),
        ("surface", volume(), (), "S_NO_REGION"),
        ("surface", volume(), (empty,), "S_NO_REGION"),
    ):
        with pytest.raises(Rejected) as refused:
            view(name)(image, regions)
        assert refused.value.code == code
    with pytest.raises(ConfigError, match="low, high"):
        view("projection", low=3.0)
    with pytest.raises(ConfigError, match="below high"):
        view("thumbnail", low=3.0, high=3.0)
    constant = volume().with_data(np.full(SHAPE, 7.0, np.float32))
    assert set(pixels(view("projection")(constant, ())[0])[0].reshape(-1)) == {0}


# surfaces -----------------------------------------------------------------------------------------

TURNED = ((0.96, 0.28, 0), (-0.28, 0.96, 0), (0, 0, 1))
MIRRORED = ((1, 0, 0), (0, 1, 0), (0, 0, -1))


@pytest.mark.parametrize("columns", [((1, 0, 0), (0, 1, 0), (0, 0, 1)), TURNED, MIRRORED])
@pytest.mark.parametrize("kind", ["stl", "glb"])
def test_a_sphere_is_closed_faces_out_and_lies_in_the_patient(columns, kind):
    mask = ball()
    spacing = (1.5, 0.8, 0.9)
    given = placed(columns=columns, spacing=spacing)
    (file,) = view("surface", format=kind)(given, (Region(mask=mask, name="ball", source="seg", label=3),))
    assert file.name == f"seg-ball-3.{kind}"
    if kind == "stl":
        corners, normals = read_stl(file.data)
        wide = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        np.testing.assert_allclose(normals, wide / np.linalg.norm(wide, axis=1, keepdims=True), atol=1e-3)
    else:
        scene, points, faces = read_glb(file.data)
        corners = points[faces]
        (position, _) = scene["accessors"]
        assert position["count"] == len(points)
        np.testing.assert_array_equal(position["min"], points.min(axis=0))
        np.testing.assert_array_equal(position["max"], points.max(axis=0))
        # up in glTF is the head, the right-hand rule stays, and lengths are metres
        turn = np.array(scene["nodes"][0]["matrix"]).reshape(4, 4).T[:3, :3]
        np.testing.assert_allclose(turn @ [0, 0, 1000.0], [0, 1, 0], atol=1e-12)
        assert np.linalg.det(turn) == pytest.approx(1e-9)
    voxels = mask.sum() * np.prod(spacing)
    middle = given.geometry.matrix @ [*((np.array(mask.shape[::-1]) - 1) / 2), 1.0]
    assert enclosed(corners - middle[:3]) == pytest.approx(voxels, rel=0.01)
    assert file.facts["volume_mm3"] == pytest.approx(enclosed(corners - middle[:3]), rel=1e-4)
    assert file.facts["n_triangles"] == len(corners)
    np.testing.assert_allclose(corners.reshape(-1, 3).mean(axis=0), middle[:3], atol=0.2)
    reach = np.linalg.norm((corners.reshape(-1, 3) - middle[:3]) / 1.0, axis=1)
    assert 12 * min(spacing) - 1 < reach.min() < reach.max() < 12 * max(spacing) + 1
    edges = edges_of(corners)
    assert set(edges.values()) == {1}
    assert all((b, a) in edges for a, b in edges)


@pytest.mark.parametrize("seed", range(4))
def test_any_mask_at_the_border_too_becomes_a_closed_surface(seed):
    mask = np.random.default_rng(seed).random((6, 7, 5)) < 0.45
    (file,) = view("surface")(placed(mask.shape), (Region(mask=mask, name="blob"),))
    balance = Counter()
    for (a, b), times in edges_of(read_stl(file.data)[0]).items():
        balance[min(a, b), max(a, b)] += times if a < b else -times
    assert set(balance.values()) == {0}


def test_uneven_slices_stretch_the_surface_where_they_are_apart():
    mask = np.zeros((4, 5, 5), bool)
    mask[1:3, 1:4, 1:4] = True
    given = placed(mask.shape, spacing=(2.0, 1.0, 1.0))
    uneven = replace(given, geometry=replace(given.geometry, slice_positions_mm=(0.0, 1.0, 4.0, 6.0)))
    (file,) = view("surface")(uneven, (Region(mask=mask, name="slab"),))
    z = read_stl(file.data)[0][..., 2] - 30.0
    assert (z.min(), z.max()) == pytest.approx((0.5, 5.0))


def test_a_surface_is_made_of_each_region_that_is_named():
    mask = ball(4.0, shape=(12, 12, 12))
    regions = [Region(mask=mask, name=name, source="seg", label=n) for n, name in enumerate(("gtv", "cord", "gtv"), 1)]
    files = list(view("surface", regions=["gtv"])(placed(mask.shape), regions))
    assert [file.name for file in files] == ["seg-gtv-1.stl", "seg-gtv-3.stl"]
    assert len(list(view("surface")(placed(mask.shape), regions))) == 3

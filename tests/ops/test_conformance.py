"""What every registered op must do; to register is to be tested."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import tracemalloc

import numpy as np
import pytest

from medpipe.contracts.protocols import Extractor, ImageOp, RegionSource, RegionStep
from medpipe.errors import Rejected
from medpipe.keys import digest
from medpipe.ops.parameters import build, json_schema
from medpipe.ops.registry import make, op_digest, registered, spec_of
from medpipe.reasons import REASONS
from medpipe.types import Companions, Geometry, Region, Volume
from medpipe.values import Display, RealWorldMap, SuvScales
from tests.models.networks import bound_to

REQUIRED = {
    "gaussian": {"sigma_mm": 1.2},
    "tv": {"weight": 40.0, "iterations": 6},
    "nlm": {"sigma": 25.0, "distance": 1},
    "bilateral": {"sigma_mm": 1.3, "sigma_value": 60.0},
    "curvature_diffusion": {"iterations": 2},
    "perona_malik": {"edge": 60.0, "iterations": 4},
    "anscombe": {"gain": 2.0, "denoiser": {"op": "gaussian", "sigma_mm": 1.2}},
    "lee": {"speckle": 0.2},
    "srad": {"speckle": 0.2, "iterations": 2},
    "window": {"preset": "soft_tissue"},
    "unsharp": {"sigma_mm": 1.2},
    "n4": {"shrink": 2, "levels": 1, "iterations": 2},
    "nyul": {"percentiles": [1.0, 50.0, 99.0], "values": [1.0, 30.0, 100.0]},
    "match": {"percentiles": [0.0, 50.0, 100.0], "values": [0.0, 10.0, 50.0]},
    "clahe": {"tiles": [2, 3, 3]},
    "clip": {"low": -100.0, "high": 100.0},
    "resample": {"spacing_mm": [2.0, 1.5, 1.5]},
    "threshold": {"low": 20.0},
    "uptake": {"above": 50.0},
    "erode": {"radius_mm": 2.0},
    "dilate": {"radius_mm": 2.0},
    "open": {"radius_mm": 2.0},
    "close": {"radius_mm": 2.0},
    "drop_below": {"ml": 0.1},
    "mean_filter": {"size": 3},
    "laplacian_of_gaussian": {"sigma_mm": 1.2},
    "laws": {"kernels": "L5E5S3", "delta": 2},
    "gabor": {"sigma_mm": 2.0, "wavelength_mm": 4.0, "gamma": 0.5, "theta_step_deg": 90.0},
    "separable_wavelet": {"wavelet": "db2", "passes": "LHL"},
    "learned": {"model": "net"},
    "deep": {"model": "net", "numbers": 4},
    "haralick": {"bins": 16},
    "hog": {"cell": 4},
    "ibsi": {"bin_width": 25.0, "range": [-1000.0, 400.0]},
    "pyradiomics": {"bin_width": 25.0, "range": [-1000.0, 400.0]},
}
"""Parameters without a default, and some that keep a small volume interesting."""

FAMILIES = ("image", "regions", "steps", "features")
EVERY = [(family, name) for family in FAMILIES for name in registered(family)]
IMAGE, REGIONS, STEPS, FEATURES = ([name for of, name in EVERY if of == family] for family in FAMILIES)
SPACING_MM = (2.5, 1.0, 0.9)
SHAPE = (11, 26, 29)
MODALITIES = {"CT": "HU", "MR": "arbitrary", "PT": "SUV"}
SHOWN = (Display(function="sigmoid", center=40.0, width=400.0),)
UPTAKE = SuvScales(by_kind={"bw": (0.003,)})


MAGNITUDES = {"lee", "srad"}
"""Ops that refuse values below 0."""


def op_of(family, name):
    made = make(family, {"op": name, **REQUIRED.get(name, {})}, "route.0.image.0")
    network = bound_to(name)
    return made if network is None else dataclasses.replace(made, network=network)


def volume(modality="CT", *, shape=SHAPE, dtype=np.float32, axes="zyx"):
    """Return a bright noisy ball in a dark noisy background, read-only like a mapped file."""
    rng = np.random.default_rng(31)
    z, y, x = (axis - (size - 1) / 2 for axis, size in zip(np.indices(shape[-3:]), shape[-3:], strict=True))
    ball = (z * 2.5) ** 2 + y**2 + (x * 0.9) ** 2 < 9.5**2
    low, high = (-1000.0, 60.0) if modality == "CT" else (5.0, 200.0)
    data = (np.where(ball, high, low) + rng.normal(0, 25, shape)).astype(dtype)
    data.flags.writeable = False
    affine = np.diag([SPACING_MM[2], SPACING_MM[1], SPACING_MM[0], 1.0]).reshape(-1).tolist()
    geometry = Geometry(shape=shape, axes=axes, spacing_mm=SPACING_MM, affine_lps=tuple(affine))
    maps = ((RealWorldMap(unit="HU", slope=2.0, intercept=1.0, low=-1e5, high=1e5),),)
    return Volume(
        data=data,
        geometry=geometry,
        unit=MODALITIES[modality],
        modality=modality,
        suv=UPTAKE,
        real_world=maps,
        display=SHOWN,
    )


def suited(name, given):
    """Return a volume that an op does not refuse."""
    return given.with_data(np.abs(given.data)) if name in MAGNITUDES else given


def ball_region(given):
    mask = np.asarray(given.data) > 0
    return Region(mask=mask, name="ball")


def companions(given):
    return Companions(regions=(Region(mask=given.data > 0, name="roi_1"),), original_names={"roi_1": "x"})


def holed(given):
    data = given.data.copy()
    data[5, 13, 14] = np.nan
    return given.with_data(data)


def results(family, op, given):
    """Return all arrays or numbers an op makes of a volume, or its rejection."""
    try:
        if family == "image":
            return [op(given).data]
        if family == "regions":
            return [region.mask for region in op(given, companions(given))]
        if family == "steps":
            return [op(ball_region(given).mask, given.geometry)]
        return [np.array(list(op(given, ball_region(given)).values()), dtype=np.float64)]
    except Rejected as rejection:
        return [np.array([rejection.code])]


@pytest.fixture(params=EVERY, ids="-".join)
def either(request):
    family, name = request.param
    return family, op_of(family, name)


def test_the_op_offers_what_its_family_promises(either):
    family, op = either
    promised = {"image": ImageOp, "regions": RegionSource, "steps": RegionStep, "features": Extractor}
    assert isinstance(op, promised[family])
    assert op.name == registered(family)[op.name].name
    assert isinstance(op.version, int)
    assert op.version >= 1


def test_the_op_is_a_frozen_slotted_keyword_only_record(either):
    _, op = either
    assert dataclasses.is_dataclass(op)
    assert not hasattr(op, "__dict__")
    assert all(field.kw_only for field in dataclasses.fields(op))
    # A name that is no field: the frozen class answers before the slots do.
    for name in [field.name for field in dataclasses.fields(op)]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(op, name, getattr(op, name))
    assert hash(op) == hash(dataclasses.replace(op))


def test_every_parameter_and_the_op_itself_are_documented(either):
    _, op = either
    assert (type(op).__doc__ or "").strip()
    assert not (type(op).__doc__ or "").startswith(f"{type(op).__name__}(")
    for name, schema in json_schema(type(op))["properties"].items():
        assert schema["description"].strip(), name
    json.dumps(json_schema(type(op)), allow_nan=False)


def test_the_spec_makes_the_same_op(either):
    family, op = either
    spec = json.loads(json.dumps(spec_of(op)))
    assert spec.pop("version") == op.version
    assert make(family, spec, "here") == op


def test_the_digest_leaves_out_what_is_at_its_default(either):
    _, op = either
    at_default = {
        field.name: field.default for field in dataclasses.fields(op) if field.default is not dataclasses.MISSING
    }
    given = {name: value for name, value in spec_of(op).items() if name not in ("op", "version")}
    spelled_out = {name: value for name, value in at_default.items() if value is not None} | given
    same = build(type(op), spelled_out, "here")
    assert same == op
    assert op_digest(same) == op_digest(op) == digest(spec_of(op))


def test_the_call_writes_nothing_to_its_input_and_repeats_its_bytes(either):
    family, op = either
    for modality in MODALITIES:
        given = suited(op.name, volume(modality))
        before = given.data.copy()
        first, again = results(family, op, given), results(family, op, given)
        np.testing.assert_array_equal(given.data, before)
        assert [array.tobytes() for array in first] == [array.tobytes() for array in again]


def test_a_missing_voxel_never_becomes_an_infinity(either):
    family, op = either
    for modality in MODALITIES:
        for array in results(family, op, holed(volume(modality))):
            if array.dtype.kind == "f":
                assert not np.isinf(array).any()


def test_a_refusal_is_by_a_known_code(either):
    family, op = either
    constant = volume().with_data(np.full(SHAPE, 7.0, np.float32))
    bare = volume().with_data(volume().data, geometry=Geometry(shape=SHAPE))
    for given in (constant, bare):
        for array in results(family, op, given):
            if array.dtype.kind == "U":
                assert array[0] in REASONS


def test_the_projected_memory_covers_what_the_call_takes(either):
    family, op = either
    given = suited(op.name, volume(shape=(24, 48, 52)))
    results(family, op, given)
    tracemalloc.start()
    results(family, op, given)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    projected = op.memory(given.geometry)
    assert isinstance(projected, int)
    # What has no part in the projection: the masks made by this test, code, small objects.
    assert 0 < peak <= projected + 2 * given.data.size + 200_000


@pytest.mark.parametrize("name", IMAGE)
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_an_image_is_float32_and_its_geometry_fits(name, dtype):
    given = suited(name, volume(dtype=dtype))
    result = op_of("image", name)(given)
    assert result.data.dtype == np.float32
    assert result.data.shape == result.geometry.shape
    assert result.geometry.axes == given.geometry.axes
    assert result.modality == given.modality
    assert np.isfinite(result.data).all()


@pytest.mark.parametrize("name", IMAGE)
@pytest.mark.parametrize("axes", ["tzyx", "czyx"])
def test_an_image_with_a_leading_axis_is_worked_on_frame_by_frame(name, axes):
    op = op_of("image", name)
    if getattr(op, "across_frames", False):
        pytest.skip("works on all frames together")
    series = suited(name, volume("MR", shape=(2, 5, 12, 14), axes=axes))
    result = op(series)
    assert result.geometry.shape == result.data.shape
    for frame, data in zip(series.data, result.data, strict=True):
        alone = series.with_data(frame, geometry=dataclasses.replace(series.geometry, shape=frame.shape, axes="zyx"))
        np.testing.assert_array_equal(op(alone).data, data)


@pytest.mark.parametrize("name", IMAGE)
def test_blocks_with_the_declared_halo_equal_the_whole(name):
    op = op_of("image", name)
    given = suited(name, volume())
    halo = op.halo(given.geometry)
    if halo is None:
        pytest.skip("needs the whole volume")
    whole = op(given).data
    for place in itertools.product(*(range(0, size, 9) for size in SHAPE)):
        core = [slice(start, min(start + 9, size)) for start, size in zip(place, SHAPE, strict=True)]
        wide = [
            slice(max(part.start - reach, 0), min(part.stop + reach, size))
            for part, reach, size in zip(core, halo, SHAPE, strict=True)
        ]
        data = given.data[tuple(wide)]
        block = op(given.with_data(data, geometry=dataclasses.replace(given.geometry, shape=data.shape))).data
        inner = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, wide, strict=True))
        assert block[inner].tobytes() == whole[tuple(core)].tobytes()


@pytest.mark.parametrize("name", IMAGE)
def test_a_halo_is_three_counts_or_the_whole_volume(name):
    for geometry in (volume().geometry, Geometry(shape=SHAPE)):
        halo = op_of("image", name).halo(geometry)
        assert halo is None or (len(halo) == 3 and all(isinstance(n, int) and n >= 0 for n in halo))


def regions_of(source, given, drawn):
    """Return what a source finds; nothing where it refuses the image."""
    try:
        return source(given, drawn)
    except Rejected:
        return ()


@pytest.mark.parametrize("name", REGIONS)
def test_a_region_is_a_mask_on_the_grid_under_a_closed_name(name):
    for modality, shape, axes in [("CT", SHAPE, "zyx"), ("PT", (1, 30, 30), "zyx"), ("MR", (2, *SHAPE), "tzyx")]:
        given = volume(modality, shape=shape, axes=axes)
        drawn = Companions(regions=(Region(mask=np.ones(shape[-3:], bool), name="roi_1"),))
        for region in regions_of(op_of("regions", name), given, drawn):
            assert region.mask.shape == given.geometry.spatial_shape
            assert region.mask.dtype == bool
            assert region.mask.any()
            assert region.name.replace("_", "").isalnum()
            assert region.label >= 1


@pytest.mark.parametrize("name", REGIONS)
def test_only_a_source_that_says_so_looks_at_companions(name):
    source = op_of("regions", name)
    for given in map(volume, MODALITIES):
        alone, accompanied = (regions_of(source, given, drawn) for drawn in (Companions(), companions(given)))
        if source.uses_companions:
            assert len(accompanied) == 1
        else:
            assert [region.mask.tobytes() for region in alone] == [region.mask.tobytes() for region in accompanied]


@pytest.mark.parametrize("name", STEPS)
def test_a_step_leaves_its_input_alone_and_bears_any_mask(name):
    step, geometry = op_of("steps", name), volume().geometry
    for mask in (np.zeros(SHAPE, bool), np.ones(SHAPE, bool), np.random.default_rng(5).random(SHAPE) < 0.4):
        before = mask.copy()
        result = step(mask, geometry)
        assert result.dtype == bool
        assert result.shape == SHAPE
        np.testing.assert_array_equal(mask, before)
        assert result is not mask


@pytest.mark.parametrize("name", FEATURES)
def test_an_extractor_gives_a_number_in_range_for_each_of_its_columns(name):
    extractor = op_of("features", name)
    columns = extractor.columns
    assert len({column.name for column in columns}) == len(columns)
    assert extractor.compliance in ("ibsi", "deviates", "none")
    given = volume()
    empty = Region(mask=np.zeros(SHAPE, bool), name="empty")
    lone = np.zeros(SHAPE, bool)
    lone[5, 13, 14] = True
    for region in (ball_region(given), Region(mask=lone, name="lone"), empty):
        try:
            values = dict(extractor(given, region))
        except Rejected as rejection:
            if (region.name, rejection.code) != ("lone", "SMALL_ROI"):
                raise
            continue
        assert list(values) == [column.name for column in columns]
        for column in columns:
            value = values[column.name]
            assert isinstance(value, float), column.name
            assert not math.isinf(value), column.name
            if not math.isnan(value):
                assert not value < column.low, column.name
                assert not value > column.high, column.name
    assert np.isfinite(list(extractor(given, ball_region(given)).values())).mean() > 0.9

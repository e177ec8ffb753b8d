from __future__ import annotations

import numpy as np
import pytest

from medpipe.errors import Rejected
from medpipe.ops.straighten import Straighten
from medpipe.types import Geometry, Volume

DIRECTION = np.linalg.qr(np.array([[1.0, 0.2, 0.1], [-0.1, 1.0, 0.3], [0.2, -0.2, 1.0]]))[0]
DIRECTION *= np.sign(np.linalg.det(DIRECTION))
SPACING_MM = (3.0, 0.8, 0.7)
SHAPE = (21, 40, 44)
FIDUCIAL_MM = 4.0


def geometry(tilt_deg=0.0, *, positions=None, shape=SHAPE):
    """Return a stack tilted about the row axis, as a gantry is; positions along the normal where it is uneven."""
    along = np.arange(shape[0]) * SPACING_MM[0] if positions is None else np.asarray(positions, float)
    mean = (along[-1] - along[0]) / (shape[0] - 1)
    across, down, normal = DIRECTION.T
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = across * SPACING_MM[2], down * SPACING_MM[1]
    matrix[:3, 2] = mean * (normal + np.tan(np.radians(tilt_deg)) * down)
    matrix[:3, 3] = (10.0, -20.0, 30.0)
    return Geometry(
        shape=shape,
        spacing_mm=(mean, *SPACING_MM[1:]),
        affine_lps=tuple(matrix.ravel().tolist()),
        slice_positions_mm=None if positions is None else tuple(map(float, along)),
    )


def world(given: Geometry) -> np.ndarray:
    """Return the place of every voxel in mm, slices where they lie."""
    z, y, x = (axis.astype(float) for axis in np.indices(given.shape))
    if given.slice_positions_mm is not None:
        z = (np.array(given.slice_positions_mm) - given.slice_positions_mm[0])[:, None, None] / given.spacing_mm[0]
        z = z + np.zeros(given.shape)
    return np.einsum("ij,j...->...i", given.matrix[:3], np.stack([x, y, z, np.ones_like(x)]))


def fiducial(given: Geometry, centre: np.ndarray) -> np.ndarray:
    return (1000 * np.exp(-((world(given) - centre) ** 2).sum(-1) / (2 * FIDUCIAL_MM**2))).astype(np.float32)


def centroid(volume: Volume) -> np.ndarray:
    weight = volume.data.astype(float)[..., None]
    return (world(volume.geometry) * weight).sum((0, 1, 2)) / weight.sum()


def stack(given: Geometry, verdict: str, centre=None) -> Volume:
    middle = world(given)[given.shape[0] // 2, 20, 22] if centre is None else centre
    return Volume(data=fiducial(given, middle), geometry=given, unit="HU", modality="CT", verdict=verdict)


@pytest.mark.parametrize("tilt_deg", [12.5, -12.5, 30.0])
def test_a_fiducial_in_a_tilted_stack_stays_where_it_is(tilt_deg):
    given = geometry(tilt_deg)
    centre = world(given)[10, 20, 22]
    result = Straighten()(stack(given, "tilted"))
    assert np.abs(centroid(result) - centre).max() < 0.1
    assert result.verdict == "straightened"
    # it is the same picture, sampled elsewhere
    assert np.abs(result.data - fiducial(result.geometry, centre)).max() < 15


def test_the_straight_grid_has_right_angles_and_the_first_slice_of_the_stack():
    given = geometry(12.5)
    result = Straighten()(stack(given, "tilted"))
    columns = result.geometry.matrix[:3, :3]
    gram = columns.T @ columns
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-9
    assert np.sqrt(np.diag(gram)) == pytest.approx(SPACING_MM[::-1])
    assert result.geometry.shape == result.data.shape
    # every corner of the tilted stack lies within half a voxel of the straight one
    inverse = np.linalg.inv(result.geometry.matrix)
    corners = world(given)[:: SHAPE[0] - 1, :: SHAPE[1] - 1, :: SHAPE[2] - 1].reshape(-1, 3)
    index = corners @ inverse[:3, :3].T + inverse[:3, 3]
    assert (index > -0.5).all()
    assert (index < np.array(result.data.shape[::-1]) - 0.5).all()


def test_what_no_slice_covers_has_the_least_value():
    given = geometry(12.5)
    volume = stack(given, "tilted")
    volume.data[...] += 50
    result = Straighten()(volume)
    assert result.data.min() == volume.data.min()


def test_uneven_steps_become_even():
    rng = np.random.default_rng(3)
    positions = np.arange(21) * 3.0 + rng.uniform(-0.1, 0.1, 21)
    given = geometry(positions=positions)
    centre = world(given)[10, 20, 22]
    result = Straighten()(stack(given, "uneven", centre))
    assert result.geometry.slice_positions_mm is None
    assert np.abs(centroid(result) - centre).max() < 0.1
    ends = [world(one)[[0, -1], 0, 0] for one in (given, result.geometry)]
    assert np.abs(ends[0] - ends[1]).max() < 0.01


def test_steps_that_differ_too_much_are_refused():
    given = geometry(positions=[*np.arange(20) * 3.0, 58.5])
    with pytest.raises(Rejected, match="W_UNEVEN"):
        Straighten()(stack(given, "uneven"))
    assert Straighten(most_uneven=0.6)(stack(given, "uneven")).verdict == "straightened"


def test_a_stack_tilted_beyond_the_limit_is_refused():
    with pytest.raises(Rejected, match="E_TILT"):
        Straighten()(stack(geometry(36.0), "tilted"))


def with_gaps(*missing, n=60):
    present = [k for k in range(n) if k not in missing]
    whole = stack(geometry(shape=(n, *SHAPE[1:])), "regular")
    given = geometry(positions=np.array(present) * 3.0, shape=(len(present), *SHAPE[1:]))
    return whole, whole.with_data(whole.data[present], geometry=given, verdict="missing_slices")


def test_one_slice_missing_of_sixty_is_interpolated_and_named():
    whole, volume = with_gaps(25)
    result = Straighten(missing="interpolate")(volume)
    assert result.interpolated == (25,)
    assert result.geometry.shape == whole.geometry.shape
    assert np.allclose(result.geometry.affine_lps, whole.geometry.affine_lps, atol=1e-9)
    kept = [k for k in range(60) if k != 25]
    np.testing.assert_array_equal(result.data[kept], whole.data[kept])
    np.testing.assert_allclose(result.data[25], (whole.data[24] + whole.data[26]) / 2, rtol=1e-6)


@pytest.mark.parametrize("missing", [(10, 30, 50), (20, 21), (10, 30)])
def test_more_slices_missing_than_may_be_interpolated_are_refused(missing):
    with pytest.raises(Rejected, match="E_GAP"):
        Straighten(missing="interpolate")(with_gaps(*missing)[1])


def test_missing_slices_are_refused_unless_the_recipe_says_otherwise():
    _, volume = with_gaps(25)
    with pytest.raises(Rejected, match="E_GAP"):
        Straighten()(volume)
    kept = Straighten(missing="keep")(volume)
    assert kept.verdict == "missing_slices"
    assert kept.interpolated == ()
    np.testing.assert_array_equal(kept.data, volume.data)


@pytest.mark.parametrize("verdict", ["regular", "single", "planar"])
def test_a_straight_stack_stays_as_it_is(verdict):
    volume = stack(geometry(), verdict)
    result = Straighten()(volume)
    assert result.geometry == volume.geometry
    assert result.verdict == verdict
    np.testing.assert_array_equal(result.data, volume.data)


def test_a_mask_goes_with_its_image():
    volume = stack(geometry(20.0), "tilted")
    mask = volume.data > 200
    op = Straighten()
    carried = op.carry(mask, volume.with_data(None))
    result = op(volume)
    assert carried.shape == result.data.shape
    found = world(result.geometry)[carried].mean(0)
    assert np.abs(found - world(volume.geometry)[mask].mean(0)).max() < 0.2
    assert carried.sum() == pytest.approx(mask.sum(), rel=0.03)


def test_memory_covers_a_tilted_stack():
    import tracemalloc

    volume = stack(geometry(30.0), "tilted")
    op = Straighten()
    op(volume)
    tracemalloc.start()
    op(volume)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= op.memory(volume.geometry) + 2 * volume.data.size + 200_000

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medpipe.contracts.images import Aligner
from medpipe.errors import ConfigError, Rejected
from medpipe.ops.align import search as searching
from medpipe.ops.align.rigid import Rigid
from medpipe.ops.registry import make, registered
from medpipe.reasons import REASONS
from tests.ops.heads import corners_astray_mm, head, motion

SHAPE, SPACING = (22, 26, 32), (5.0, 4.5, 4.0)
OTHER_SHAPE, OTHER_SPACING = (26, 24, 28), (4.5, 4.5, 4.5)
MOVED = motion((0.1, 0.05, -0.14), (10.0, -6.0, 4.0))


def op(name="rigid", **given):
    return make("align", {"op": name, **given}, "route.0.companions.0.align")


def mr(matrix=None, *, frame="b", **changes):
    return head(
        OTHER_SHAPE,
        OTHER_SPACING,
        motion=matrix,
        seed=2,
        scale=-0.3,
        offset=50.0,
        frame=frame,
        modality="MR",
        **changes,
    )


def matrix_of(found):
    return np.array(found.matrix).reshape(4, 4)


@pytest.fixture(scope="module")
def ct():
    return head(SHAPE, SPACING)


@pytest.fixture(scope="module")
def registered_pair(ct):
    return op(work_mm=4.0)(ct, mr(MOVED))


def test_every_aligner_is_one_and_says_what_it_takes(ct):
    for name, kind in registered("align").items():
        one = op(name)
        assert isinstance(one, Aligner)
        assert (one.name, kind) == (name, type(one))
        assert one.memory(ct.geometry, ct.geometry) > 0


def test_a_turn_and_a_shift_are_found_within_half_a_voxel(registered_pair):
    assert registered_pair.code == ""
    assert registered_pair.method == "rigid"
    assert corners_astray_mm(matrix_of(registered_pair), MOVED) < 0.5 * min(SPACING)
    assert registered_pair.rotation_deg == pytest.approx(np.degrees(np.linalg.norm([0.1, 0.05, 0.14])), abs=1.0)
    assert registered_pair.translation_mm == pytest.approx(np.linalg.norm([10, -6, 4]), abs=1.5)
    assert registered_pair.metric_after > 1.5 * registered_pair.metric_before
    assert registered_pair.inverse_mm < 2.0
    turn = matrix_of(registered_pair)[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


def test_the_same_images_give_the_same_map_whatever_the_threads(ct):
    import SimpleITK as sitk

    first = searching.search(ct, mr(MOVED), work_mm=8.0)
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(5)
    try:
        again = searching.search(ct, mr(MOVED), work_mm=8.0)
        assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == 5
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    assert first.matrix.tobytes() == again.matrix.tobytes()
    assert first[1:] == again[1:]


def test_an_image_registered_with_itself_stays_where_it_is(ct):
    found = op(within_frame=True, work_mm=4.0)(ct, ct)
    assert (found.code, found.method) == ("", "rigid")
    assert corners_astray_mm(matrix_of(found), np.eye(4)) < 0.1 * min(SPACING)


def test_images_of_one_frame_are_taken_as_they_lie(ct):
    for name in ("same_frame", "rigid"):
        found = op(name)(ct, mr(MOVED, frame="a"))
        assert (found.method, found.code, found.rotation_deg) == ("frame", "", 0.0)
        np.testing.assert_array_equal(matrix_of(found), np.eye(4))


def test_another_frame_or_none_is_refused_unless_the_recipe_takes_it(ct):
    for one, other in (("a", "b"), ("a", None), (None, None)):
        images = [
            replace(image, geometry=replace(image.geometry, frame_of_reference_key=key))
            for image, key in ((ct, one), (mr(), other))
        ]
        with pytest.raises(Rejected) as refused:
            op("same_frame")(*images)
        assert refused.value.code == "E_FRAME"
    assert op("same_frame", unnamed="take")(*images).code == ""


def test_images_that_show_nothing_in_common_are_refused(ct):
    away = replace(mr(frame="a"), geometry=replace(mr().geometry, frame_of_reference_key="a"))
    matrix = away.geometry.matrix
    matrix[0, 3] += 1000.0
    away = replace(away, geometry=replace(away.geometry, affine_lps=tuple(matrix.reshape(-1).tolist())))
    assert op("same_frame")(ct, away).code == "E_OVERLAP"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"max_rotation_deg": 5.0}, "E_REG_LIMITS"),
        ({"max_translation_mm": 5.0}, "E_REG_LIMITS"),
        ({"min_overlap": 1.0}, "E_OVERLAP"),
        ({"min_information": 5.0}, "E_REG_GAIN"),
        ({"max_inverse_mm": 1e-9}, "E_REG_INVERSE"),
    ],
)
def test_what_a_recipe_does_not_allow_is_refused_by_its_code(registered_pair, limits, code):
    assert Rigid(**limits)._doubt(registered_pair) == code
    assert code in REASONS


def test_a_result_worse_than_its_start_is_refused(registered_pair):
    worse = replace(registered_pair, metric_after=registered_pair.metric_before * 0.9)
    assert Rigid(min_information=0.0)._doubt(worse) == "E_REG_GAIN"


def test_noise_is_registered_with_nothing(ct):
    noise = ct.with_data(np.random.default_rng(5).normal(0, 1, SHAPE).astype(np.float32))
    noise = replace(noise, geometry=replace(noise.geometry, frame_of_reference_key="b"))
    found = op(work_mm=8.0)(ct, noise)
    assert found.code in {"E_REG_GAIN", "E_OVERLAP", "E_REG_LIMITS"}


def bent(volume, **changes):
    return replace(volume, geometry=replace(volume.geometry, **changes))


def test_images_without_an_even_grid_at_right_angles_are_refused_by_their_codes(ct):
    sheared = ct.geometry.matrix
    sheared[1, 2] = 1.0
    wrong = {
        "W_UNPLACED": bent(ct, affine_lps=None),
        "W_UNEVEN": bent(ct, slice_positions_mm=tuple(float(place) ** 1.1 for place in range(SHAPE[0]))),
        "E_AXES": bent(ct.with_data(ct.data[None]), shape=(1, *SHAPE), axes="tzyx"),
        "W_TILTED": bent(ct, affine_lps=tuple(sheared.reshape(-1).tolist())),
        "E_CONSTANT": ct.with_data(np.full(SHAPE, 3.0, np.float32)),
    }
    for code, image in wrong.items():
        for pair in ((image, mr()), (mr(), image)):
            with pytest.raises(Rejected) as refused:
                op()(*pair)
            assert refused.value.code == code
    with pytest.raises(Rejected):
        op()(ct.with_data(np.full(SHAPE, np.nan, np.float32)), mr())


def test_missing_voxels_count_as_the_least_value(ct):
    holed = mr(MOVED).data.copy()
    holed[:2] = np.nan
    found = searching.search(ct, mr(MOVED).with_data(holed), work_mm=8.0)
    assert found is not None
    assert np.isfinite(found.matrix).all()


def test_a_recipe_that_could_accept_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"route\.0\.companions\.0\.align: max_rotation_deg"):
        op(max_rotation_deg=0.0, max_translation_mm=0.0)
    with pytest.raises(ConfigError, match="work_mm"):
        op(work_mm=0.0)

from __future__ import annotations

import numpy as np
import pytest

PIXELS = np.ones((6, 8), np.uint16)
DX = "1.2.840.10008.5.1.4.1.1.1.1"


@pytest.mark.parametrize(
    ("shown", "detector", "magnification", "doubtful"),
    [
        ([0.1, 0.1], [0.15, 0.15], None, False),
        ([0.15, 0.15], [0.15, 0.15], 1.5, False),  # not corrected for magnification
        ([0.1, 0.1], [0.15, 0.15], 1.5, False),
        ([0.3, 0.3], [0.15, 0.15], None, False),  # shown with half the pixels
        ([0.15, 0.3], [0.15, 0.3], None, False),
        ([0.3, 0.15], [0.15, 0.3], None, True),  # turned
        ([1.5, 1.5], [0.15, 0.15], None, True),  # a unit lost
        ([0.015, 0.015], [0.15, 0.15], None, True),
        (None, [0.15, 0.15], None, False),
        ([0.1, 0.1], None, None, False),
    ],
)
def test_a_detector_contradicts_the_spacing_of_a_projection_out_of_proportion(
    slice_of, archive_of, shown, detector, magnification, doubtful
):
    dataset = slice_of(
        PIXELS,
        SOPClassUID=DX,
        Modality="DX",
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        PixelSpacing=shown,
        ImagerPixelSpacing=detector,
        EstimatedRadiographicMagnificationFactor=magnification,
    )
    (stack,) = archive_of([dataset]).assembly.stacks
    assert stack.flags == (("W_SPACING",) if doubtful else ())


@pytest.mark.parametrize(
    ("thickness", "between", "doubtful"),
    [
        (5.0, 5.0, False),
        (2.5, 2.5, True),  # every other slice is missing, or both are wrong
        (2.5, 2.6, True),
        (2.5, 5.0, False),
        (2.5, 1.0, False),
        (1.0, 5.0, False),
        (9.0, 9.0, False),
        (30.0, 30.0, True),
        (2.5, -2.5, False),
        (2.5, None, False),
        (None, 2.5, False),
    ],
)
def test_thickness_and_distance_contradict_a_step_only_together(stack_of, archive_of, thickness, between, doubtful):
    slices = stack_of(6, step=(0, 0, 5.0), SliceThickness=thickness, SpacingBetweenSlices=between)
    (stack,) = archive_of(slices).assembly.stacks
    assert (stack.flags, stack.spacing_mm[0]) == (("W_SPACING",) if doubtful else (), 5.0)


@pytest.mark.parametrize("spacing", [0.468, 0.4688, 0.46875])
def test_a_rounded_spacing_is_no_contradiction(slice_of, archive_of, spacing):
    dataset = slice_of(
        np.ones((512, 512), np.uint16), PixelSpacing=[spacing, spacing], ReconstructionDiameter="240.000000"
    )
    (stack,) = archive_of([dataset]).assembly.stacks
    assert stack.flags == ()

from __future__ import annotations

import numpy as np
import scipy.ndimage as ndi
import SimpleITK as sitk

from medpipe.kernels.flooding import flooded


def two_boxes():
    x = np.zeros((10, 20, 24), np.float32)
    x[2:8, 4:16, 4:12] = 100.0
    x[2:8, 4:16, 14:20] = 60.0
    smooth = ndi.gaussian_filter(x + np.random.default_rng(1).normal(0, 2, x.shape), 1.0)
    return ndi.gaussian_gradient_magnitude(smooth, 1.0).astype(np.float32)


def test_basins_are_itks_but_for_voxels_of_equal_height():
    # which of two basins takes a voxel that both reach at once is the order of a queue: a few on the edges
    height = two_boxes()
    markers = np.zeros(height.shape, np.int8)
    markers[4:6, 9:11, 7:9], markers[4:6, 9:11, 16:18], markers[0] = 1, 2, 3
    itk = sitk.MorphologicalWatershedFromMarkers(
        sitk.GetImageFromArray(height), sitk.GetImageFromArray(markers.astype(np.uint8)), markWatershedLine=False
    )
    found = flooded(height, markers)
    assert (found == sitk.GetArrayFromImage(itk)).mean() > 0.99
    assert set(np.unique(found)) == {1, 2, 3}


def test_a_wall_parts_two_basins():
    height = np.zeros((1, 5, 9), np.float32)
    height[..., 4] = 9.0
    markers = np.zeros(height.shape, np.int8)
    markers[0, 2, 0], markers[0, 2, 8] = 1, 2
    found = flooded(height, markers)
    assert (found[..., :4] == 1).all()
    assert (found[..., 5:] == 2).all()


def test_without_markers_nothing_is_flooded():
    height = np.zeros((2, 3, 4), np.float32)
    assert not flooded(height, np.zeros(height.shape, np.int8)).any()

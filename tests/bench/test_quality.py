"""The table of quality, on an image whose error is known."""

import numpy as np
import pytest

from medpipe.ops.denoise import MpPca, NonLocalMeans
from tests.bench.quality import Phantom, lines, table


@pytest.mark.parametrize("shape", [(4, 20, 20), (2, 3, 20, 20)])
def test_figures_are_those_of_a_known_error(shape):
    truth = np.random.default_rng(0).uniform(0, 100, shape).astype(np.float32)
    phantom = Phantom(
        name="a phantom",
        truth=truth,
        noisy=truth + np.float32(2.0),
        tissue=np.ones(shape[-3:], bool),
        data_range=100.0,
        unit="HU",
        modality="CT",
        spacing_mm=(1.0, 1.0, 1.0),
        methods=(MpPca(size=3), NonLocalMeans(sigma=1e-3, distance=1)),
    )
    found = list(lines(phantom))
    assert [line.method for line in found] == ["none", "`mp_pca`", "`nlm`, sigma given"]
    for line in (found[0], found[2]):
        assert line.psnr_db == pytest.approx(20 * np.log10(100 / 2), abs=0.01)
        assert line.bias == pytest.approx(2.0, abs=1e-4)
        assert 0.99 < line.ssim < 1.0
    assert table(found[:1]).splitlines()[2] == "| a phantom | none | 34.0 | 0.999 | +2 HU |"

from __future__ import annotations

import json
import math
import sys
import textwrap
import time

import numpy as np
import pytest

from tests.bench import peers
from tests.bench.features import benches, largest_difference, of_mirp, of_nyxus, of_pyradiomics
from tests.bench.paired import Skipped
from tests.bench.peer_side import answers

SIDE = """
    import json, sys
    import numpy as np
    for line in sys.stdin:
        asked = json.loads(line)
        if asked:
            values = {"sum": float(np.load(asked["image"])[np.load(asked["mask"])].sum()), "bins": asked["bins"]}
            answer = {}
        else:
            answer = {"cpu_s": 2.5, "values": values}
        print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library in this interpreter, which says that it worked for 2.5 s."""
    side = tmp_path / "side.py"
    side.write_text(textwrap.dedent(SIDE))
    monkeypatch.setattr(peers, "SIDE", side)
    monkeypatch.setenv("MEDPIPE_BENCH_TOY", sys.executable)
    return "toy"


def test_a_peer_measures_what_it_is_given_and_tells_its_own_time(library, tmp_path):
    image = np.arange(24.0).reshape(2, 3, 4)
    with peers.peer(library, tmp_path) as other:
        other.give(image, image > 20, bins=8)
        before_s = other.clock.read_s()
        assert other.run() == {"sum": 66.0, "bins": 8}
        assert 2.5 <= other.clock.read_s() - before_s < 3.0
        process = other.process
    assert process.wait() == 0


def test_a_peer_that_ends_is_told(library, tmp_path):
    with peers.peer(library, tmp_path) as other, pytest.raises(RuntimeError, match="the peer ended"):
        other.run()


def test_the_side_of_the_peer_times_its_work_alone(tmp_path):
    np.save(tmp_path / "a.npy", np.full((1, 2, 3), 7.0))
    asked = {"image": str(tmp_path / "a.npy"), "mask": str(tmp_path / "a.npy"), "bins": 4}

    def toy(image, mask, given, folder):
        end_s = time.process_time() + 0.2
        while time.process_time() < end_s:
            pass
        return lambda: {"mean": float(image.mean()), "bins": given["bins"]}

    said = [json.loads(line) for line in answers(iter([json.dumps(asked), "{}"]), toy, tmp_path)]
    assert said[0] == {}
    assert said[1]["values"] == {"mean": 7.0, "bins": 4}
    assert 0.0 <= said[1]["cpu_s"] < 0.1


def test_without_an_interpreter_a_library_is_skipped_with_the_reason(tmp_path, monkeypatch):
    for name in ("PYRADIOMICS", "NYXUS", "MIRP"):
        monkeypatch.delenv(f"MEDPIPE_BENCH_{name}", raising=False)
    found = list(benches(tmp_path))
    assert [type(one) for one in found] == [Skipped] * 3
    assert "MEDPIPE_BENCH_MIRP" in found[2].reason


def test_columns_of_both_sides_that_mean_the_same():
    ours = {"cm_contrast_3D_comb": 1.0, "szm_sze_3D": 2.0, "stat_mean": 3.0, "morph_moran_i": 4.0}
    theirs = {"cm_contrast_d1_3d_v_mrg_fbn_n32": 1.0, "szm_sze_3d_fbn_n32": 2.0, "stat_mean": 3.3, "morph_moran_i": 9.0}
    names = of_mirp(ours, theirs)
    assert names.keys() == {"cm_contrast_3D_comb", "szm_sze_3D", "stat_mean"}
    assert largest_difference(ours, theirs, of_mirp) == pytest.approx(0.3 / 3.3)
    assert of_pyradiomics({"original_glcm_MCC": 1.0}, {}) == {"original_glcm_MCC": "glcm_MCC"}
    assert of_nyxus({}, {})["rlm_sre"] == "3GLRLM_SRE_AVE"
    assert largest_difference({"stat_mean": math.nan}, {"stat_mean": 1.0}, of_mirp) == math.inf
    assert largest_difference({}, {}, of_mirp) == math.inf

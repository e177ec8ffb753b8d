from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from medpipe.archive.source import FolderSource
from tests.bench.__main__ import exit_code, main, run_subjects
from tests.bench.headers import PEER, compared, read_by_pydicom, wrong
from tests.bench.paired import Bench, Clock, Skipped, line, measure
from tests.bench.stacks import read_headers, write_series


@pytest.fixture(autouse=True)
def quick_laps(monkeypatch):
    # a toy leaves no garbage, and collecting that of a whole test run takes a while
    monkeypatch.setattr("tests.bench.paired.gc.collect", lambda: 0)


class Work:
    """A clock that shows what was worked, by two sides with times of their own per call."""

    def __init__(self, ours_s, theirs_s):
        self.now_s = 0.0
        self.order = []
        self._costs = {"ours": iter(ours_s), "theirs": iter(theirs_s)}

    def do(self, side, output=0.0):
        self.order.append(side)
        self.now_s += next(self._costs[side])
        return output

    @property
    def clock(self):
        return Clock("toy", lambda: self.now_s)


def absolute(ours, theirs):
    return abs(ours - theirs)


def bench(work, ours=0.0, theirs=0.0, **changes):
    return Bench(
        subject="toy",
        size="1",
        ours=lambda: work.do("ours", ours),
        peer="a peer",
        theirs=lambda: work.do("theirs", theirs),
        difference=absolute,
        clock=work.clock,
        **changes,
    )


def constant():
    return Work(itertools.repeat(1.0), itertools.repeat(1.0))


def test_a_ratio_is_the_peer_s_median_over_ours_without_the_warm_up():
    figure = measure(bench(Work([100, 2, 1, 3, 2, 9], [500, 6, 6, 7, 1, 90])), rounds=5)
    assert (figure.ours_ms, figure.peer_ms, figure.ratio) == (2000.0, 6000.0, 3.0)
    assert figure.rounds_ours_ms == (2000.0, 1000.0, 3000.0, 2000.0, 9000.0)
    assert "3.00x" in line(figure)


def test_the_sides_take_turns_in_going_first():
    work = constant()
    measure(bench(work), rounds=3)
    assert work.order == ["ours", "theirs", "theirs", "ours", "ours", "theirs", "theirs", "ours"]


@pytest.mark.parametrize(
    ("theirs", "tolerance", "equal"), [(0.5, 0.5, True), (0.5, 0.4, False), (math.nan, 9.0, False)]
)
def test_outputs_are_equal_within_the_tolerance_and_nan_is_not(theirs, tolerance, equal):
    figure = measure(bench(constant(), theirs=theirs, tolerance=tolerance))
    assert figure.is_equal is equal
    assert ("UNEQUAL" in line(figure)) is not equal
    assert exit_code([figure]) == (0 if equal else 1)


@pytest.mark.parametrize("odd", [7.0, math.nan])
@pytest.mark.parametrize("place", range(3))
def test_one_unequal_round_is_enough(odd, place):
    outputs = iter([odd if turn == place else 0.0 for turn in range(3)])
    assert not measure(replace(bench(constant()), ours=lambda: next(outputs)), rounds=2).is_equal


def test_without_a_peer_every_round_must_give_what_the_first_gave():
    numbers = itertools.count()
    alone = replace(bench(constant()), theirs=None)
    assert measure(alone).is_equal
    figure = measure(replace(alone, ours=lambda: next(numbers)), rounds=5)
    assert (figure.peer_ms, figure.ratio, figure.difference) == (None, None, 5)


def test_the_floor_is_bytes_over_bandwidth():
    figure = measure(bench(constant(), moved_bytes=3_000_000), bytes_per_s=1e9)
    assert figure.floor_ms == pytest.approx(3.0)


def test_a_subject_that_cannot_be_measured_says_why_and_the_others_go_on(tmp_path):
    said = []

    def first(folder):
        yield Skipped(subject="one", reason="no data")

    def second(folder):
        assert folder.is_dir()
        yield bench(constant(), theirs=2.0)

    figures, skipped = run_subjects({"first": first, "second": second}, said.append)
    assert [one.reason for one in skipped] == ["no data"]
    assert said[0].endswith("skipped: no data")
    assert exit_code(figures) == 1


def test_a_header_value_that_differs_or_is_lost_counts_as_wrong(tmp_path):
    rng = np.random.default_rng(1)
    paths = write_series(tmp_path, rng.integers(0, 100, (3, 8, 8)).astype(np.int16))
    ours = read_headers(FolderSource(tmp_path))
    theirs = read_by_pydicom({path.name: path for path in paths})
    assert len(compared(ours, theirs)["equal"]) == 3 * len(PEER)
    assert wrong(ours, theirs) == 0
    changed, name = dict(ours), paths[0].name
    changed[name] = structs.replace(ours[name], modality="MR", series_uid="")
    assert wrong(changed, theirs) == 2
    changed[name] = structs.replace(changed[name], modality="CT", code="E_TRUNCATED")
    assert wrong(changed, theirs) == 0
    assert wrong(ours, {}) == math.inf


def test_the_command_writes_figures_machine_and_versions(tmp_path, capsys):
    target = tmp_path / "figures.json"
    assert main(["records", "--rounds", "1", "--json", str(target)]) == 0
    found = json.loads(target.read_text())
    assert [(one["subject"], one["equal"]) for one in found["figures"]] == [
        ("segments, seal", True),
        ("segments, read", True),
    ]
    assert min(one["ours_ms"] for one in found["figures"]) > 0
    assert {"cpu", "cores", "memory_gib", "python", "libraries", "command"} <= found["machine"].keys()
    assert capsys.readouterr().out.count("segments") == 2


def test_an_unknown_subject_is_refused():
    with pytest.raises(SystemExit) as raised:
        main(["no-such-subject"])
    assert raised.value.code == 2

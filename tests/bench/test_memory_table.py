from __future__ import annotations

import pytest

from medpipe.synth import make_archive
from tests.bench.memory_table import (
    MIB,
    MOST_ABOVE,
    STACK_RECIPE,
    Line,
    holds,
    lines_of,
    run,
    summary,
    write_stack,
)


def line(projected, peak, code=""):
    return Line(route="ct", kind="volume", shape=(1, 2, 3), outcome="done", code=code, projected=projected, peak=peak)


def test_one_case_far_above_its_projection_breaks_the_word():
    kept = summary([line(400 * MIB, 410 * MIB), line(500 * MIB, 450 * MIB)])
    assert holds(kept)
    assert kept["median of |error|"] == pytest.approx((10 / 410 + 50 / 450) / 2, abs=1e-3)
    assert not holds(summary([line(400 * MIB, 410 * MIB)] * 9 + [line(400 * MIB, 501 * MIB)]))


def test_projections_that_are_too_large_by_rule_break_the_word():
    assert not holds(summary([line(500 * MIB, 400 * MIB)]))


def test_a_case_that_ran_out_of_memory_breaks_the_word():
    assert not holds(summary([line(400 * MIB, 400 * MIB, "E_OOM")]))


@pytest.mark.slow
def test_no_case_of_a_phantom_archive_takes_more_than_was_projected(tmp_path):
    make_archive(tmp_path / "phantoms", studies=3, seed=5)
    run(tmp_path / "phantoms" / "archive", tmp_path / "lake", "whole-archive")
    facts = summary(lines_of(tmp_path / "lake"))
    assert facts["cases"] > 10
    assert facts["most above its projection"] <= MOST_ABOVE
    assert facts["out of memory"] == 0


@pytest.mark.slow
def test_a_volume_as_large_as_its_sandbox_is_stored_and_filtered_in_slabs(tmp_path):
    write_stack(tmp_path / "archive", 0.625)
    (tmp_path / "slabs.toml").write_text(STACK_RECIPE, encoding="utf-8")
    (tmp_path / "site.toml").write_text("workers = 1\n[limits]\nmemory_mb = 640\n", encoding="utf-8")
    run(tmp_path / "archive", tmp_path / "lake", str(tmp_path / "slabs.toml"), site=tmp_path / "site.toml")
    (only,) = lines_of(tmp_path / "lake")
    assert (only.outcome, only.code, only.shape) == ("done", "", (160, 1024, 1024))
    assert only.peak <= (1 + MOST_ABOVE) * only.projected
    assert only.peak < 640 * MIB

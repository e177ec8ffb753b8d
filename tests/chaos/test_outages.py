"""The power may fail at any instant: the lake opens, and what was acknowledged is there."""

from __future__ import annotations

import random

import pytest

from medpipe.lake import store
from tests.chaos.arena import AGAIN, RUN, SCANNING
from tests.chaos.honesty import power_after_kill
from tests.chaos.outage import record, replay
from tests.chaos.power import Disk
from tests.chaos.strikes import Bench

Log = list[tuple[str, ...]]


def states(log: Log, how: str) -> list[dict]:
    disk, rng = Disk(), random.Random(1)
    for record_ in log:
        disk.apply(record_)
    return [disk.state(rng, how) for _ in range(60)]


def test_a_name_is_safe_once_its_folder_was_synced():
    log = [("mkdir", "a"), ("create", "a/x"), ("write", "a/x", b"1"), ("sync", "a/x")]
    assert states(log, "least")[0] == {}
    assert states([*log, ("syncdir", "a")], "least")[0] == {}
    assert states([*log, ("syncdir", "a"), ("syncdir", ".")], "least")[0] == {"a": None, "a/x": b"1"}


def test_bytes_are_safe_once_their_file_was_synced():
    log = [("create", "x"), ("write", "x", b"12"), ("syncdir", ".")]
    assert states(log, "most")[0] == {"x": b""}
    assert {bytes(state["x"]) for state in states(log, "any")} == {b"", b"1", b"1\0", b"\0\0", b"12"}
    assert states([*log, ("sync", "x")], "least")[0] == {"x": b"12"}


def test_a_rename_is_both_names_or_neither():
    log = [("mkdir", "t"), ("mkdir", "o"), ("create", "t/x"), ("syncall", ".")]
    found = states([*log, ("rename", "t/x", "o/x")], "any")
    assert {tuple(sorted(state)) for state in found} == {("o", "o/x", "t"), ("o", "t", "t/x")}


def test_a_replaced_name_has_the_old_or_the_new_bytes():
    old = [("create", "p"), ("write", "p", b"old"), ("syncall", ".")]
    new = [("create", "q"), ("write", "q", b"new"), ("sync", "q"), ("rename", "q", "p")]
    assert {bytes(state["p"]) for state in states([*old, *new], "any")} == {b"old", b"new"}
    assert states([*old, *new, ("syncdir", ".")], "least")[0] == {"p": b"new"}


def test_a_loss_of_power_costs_nothing_that_was_acknowledged(bench: Bench):
    found = replay(bench, record(bench, act=RUN), samples=1, seed=3, every=12, resume_every=12)
    assert found.states > 40
    assert found.resumed > 3
    assert found.findings == []


@pytest.mark.slow
@pytest.mark.parametrize("act", [SCANNING, AGAIN], ids=["from nothing", "of a second recipe"])
def test_a_loss_of_power_at_any_instant_costs_nothing_that_was_acknowledged(bench: Bench, act):
    found = replay(bench, record(bench, act=act), samples=2, seed=5, every=4, resume_every=15)
    assert found.findings == []


@pytest.mark.slow
def test_what_a_killed_run_left_half_done_is_not_lost_with_the_power_later(bench: Bench):
    assert power_after_kill(bench) == []


def test_a_folder_that_somebody_else_made_is_made_durable_once(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(store, "fsync_path", synced.append)
    (tmp_path / "a" / "b").mkdir(parents=True)
    own = store.LocalStore(tmp_path)
    own.put_if_absent("a/b/x", b"1")
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    own.put_if_absent("a/b/y", b"2")
    assert synced[3:] == [tmp_path / "a" / "b"]

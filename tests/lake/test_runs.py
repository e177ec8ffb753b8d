from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from medpipe.lake.runs import Run, latest_run, new_run_name, run_names


def begun(lake, name):
    Run(lake, name).write_info({})
    return name


def test_a_new_run_is_named_by_the_time_of_day(lake):
    stamp = datetime.strptime(new_run_name(lake).partition("-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - stamp) < timedelta(minutes=1)


@pytest.mark.parametrize("before", ["20990101T000000000-ffff", "20991231T235959999-ffff"])
def test_a_new_run_is_the_latest_also_where_the_clock_went_back(lake, before):
    begun(lake, before)
    names = [begun(lake, new_run_name(lake)) for _ in range(3)]
    assert run_names(lake) == [before, *names]
    assert latest_run(lake).name == names[-1]


def test_a_run_of_another_name_is_no_hindrance(lake):
    begun(lake, "by-hand")
    assert new_run_name(lake) not in run_names(lake)

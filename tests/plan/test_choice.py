from __future__ import annotations

import itertools
import random

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.keys import digest
from medpipe.plan.cases import Planner, Terms
from medpipe.plan.choice import BY_KEY, PatientChoices
from medpipe.plan.cohort import Cohort
from medpipe.ranges import Range, all_ranges
from tests.plan.planning import Known, locked, volume

TERMS = Terms(numeric_class="cpu-x86-64-v3")


def selecting(text):
    """Return the locked recipe with selections."""
    return locked(('name = "mine"', f'name = "mine"\n{text}'))


def plan_of(lock, rows, **how):
    planner = Planner(lock, TERMS, how.pop("cohort", None))
    return planner.plan(rows, {row["volume_key"]: "1" for row in rows}, Known(), **how)


def key(*parts):
    return digest(list(parts))[:32]


def stack(name, *, study="s", patient="p", series=None, **said):
    """Return a row of a CT volume; a bare name for what is known of its series."""
    found = volume(name, shape=said.pop("shape", (20, 64, 64)), **said)
    return {**found, "study_key": study, "patient_key": patient, "series_key": series or found["series_key"]}


def decided(lock, *rows):
    """Return what was chosen, and of the others what decided."""
    plan = plan_of(lock, rows)
    (case,) = plan.cases
    assert {lost.winner for lost in plan.lost.values()} <= {case.volume_key}
    assert plan.skipped == dict.fromkeys(plan.lost, "S_NOT_CHOSEN")
    return case.volume_key, {name: lost.by for name, lost in plan.lost.items()}


PLACED = {"affine_lps": [0.0] * 16, "spacing_mm": [2.0, 0.5, 0.5]}


@pytest.mark.parametrize(
    ("preference", "better", "worse"),
    [
        ("thin", {"thickness_mm": 1.0}, {"thickness_mm": 1.25}),
        ("thin", {"thickness_mm": 5.0}, {"spacing_mm": None}),
        ("thin", {"spacing_mm": [1.5, 1, 1]}, {"thickness_mm": 2.0}),
        ("thick", {"thickness_mm": 5.0}, {"thickness_mm": 1.0}),
        ("thick", {"thickness_mm": 1.0}, {"spacing_mm": None}),
        ("soft_kernel", {"kernel_class": "soft"}, {"kernel_class": None}),
        ("soft_kernel", {"kernel_class": None}, {"kernel_class": "sharp"}),
        ("sharp_kernel", {"kernel_class": "sharp"}, {"kernel_class": None}),
        ("contrast", {"contrast": None}, {"contrast": False}),
        ("no_contrast", {"contrast": False}, {"contrast": True}),
        ("coverage", {**PLACED, "shape": (100, 4, 4)}, {**PLACED, "shape": (94, 4, 4)}),
        ("coverage", {**PLACED, "shape": (5, 4, 4)}, {"spacing_mm": None}),
        # 110 mm from face to face, whatever is missing between, against 100 mm
        (
            "coverage",
            {**PLACED, "shape": (51, 4, 4), "slice_positions_mm": [0.0, 108.0]},
            {**PLACED, "shape": (50, 4, 4)},
        ),
        ("complete", {"n_missing": 0}, {"n_missing": 1, "verdict": "missing_slices"}),
        ("complete", {"verdict": "uneven", "n_missing": None}, {"flags": ["W_COUNT"]}),
        ("complete", {"n_missing": 1, "verdict": "missing_slices"}, {"n_missing": 2, "verdict": "missing_slices"}),
        ("complete", {}, {"verdict": "uneven", "n_missing": None}),
        ("original", {"derived": False}, {"derived": None}),
        ("original", {"derived": None}, {"derived": True}),
        ("lossless", {"lossy": False}, {"lossy": True}),
        ("segmented", {"is_segmented": True}, {"is_segmented": False}),
        ("many_slices", {"shape": (21, 4, 4)}, {"shape": (20, 4, 4)}),
        ("fine_pixels", {"spacing_mm": [2.0, 0.5, 0.5]}, {"spacing_mm": [1.0, 0.5, 0.6]}),
        ("first_study", {"study_day": 0}, {"study_day": 30}),
        ("last_study", {"study_day": 30}, {"study_day": None}),
    ],
)
def test_a_preference_by_example(preference, better, worse):
    lock = selecting(f'[select]\none_per = "study"\nprefer = ["{preference}"]')
    for names in ("ab", "ba"):
        rows = stack(names[0], **better), stack(names[1], **worse)
        assert decided(lock, *rows) == (names[0], {names[1]: preference})


@pytest.mark.parametrize(
    ("preference", "one", "other"),
    [
        ("thin", {"thickness_mm": 1.0}, {"thickness_mm": 1.005}),
        ("soft_kernel", {"kernel_class": "soft"}, {"kernel_class": "soft"}),
        ("coverage", {**PLACED, "shape": (100, 4, 4)}, {**PLACED, "shape": (96, 4, 4)}),
        ("complete", {"verdict": "tilted", "n_missing": 0}, {"verdict": "regular", "n_missing": 0}),
        ("fine_pixels", {"spacing_mm": None}, {"spacing_mm": None}),
    ],
)
def test_what_is_as_good_is_told_apart_by_key(preference, one, other):
    lock = selecting(f'[select]\none_per = "study"\nprefer = ["{preference}"]')
    assert decided(lock, stack("b", **one), stack("a", **other)) == ("a", {"b": BY_KEY})


def test_a_localizer_is_chosen_among_localizers_alone():
    lock = selecting('[select]\none_per = "study"\nprefer = ["thick", "fine_pixels"]')
    scout = {"thickness_mm": 650.0, "flags": ["W_LOCALIZER"], "spacing_mm": [650.0, 0.1, 0.1]}
    assert decided(lock, stack("a", **scout), stack("b", thickness_mm=1.0)) == ("b", {"a": "no_localizer"})
    assert decided(lock, stack("a", **scout), stack("b", **{**scout, "thickness_mm": 1.0})) == ("a", {"b": "thick"})


def test_the_thickness_nearest_to_a_number():
    lock = selecting("[select]\nprefer = [ { thickness_mm = 2.5 } ]")
    rows = [stack(name, thickness_mm=mm) for name, mm in (("a", 1.0), ("b", 3.0), ("c", 5.0))]
    assert decided(lock, *rows) == ("b", {"a": "thickness_mm 2.5", "c": "thickness_mm 2.5"})


def test_one_volume_a_modality_and_what_stands_nowhere_is_not_touched():
    lock = selecting('[select]\nwhere = { modality = ["CT", "PT"] }\nprefer = ["thin"]')
    rows = [
        stack("ct 1", thickness_mm=1.0),
        stack("ct 2", thickness_mm=2.0),
        stack("pet 1", modality="PT", thickness_mm=4.0),
        stack("pet 2", modality="PT", thickness_mm=3.0),
        stack("other study", study="t", thickness_mm=9.0),
    ]
    plan = plan_of(lock, rows)
    assert {case.volume_key for case in plan.cases} == {"ct 1", "pet 2", "other study"}
    only_pet = selecting('[select]\nwhere = { modality = "PT" }\nprefer = ["thin"]')
    assert set(plan_of(only_pet, rows).lost) == {"pet 1"}


def test_one_volume_a_route_where_asked():
    lock = selecting('[select]\none_per = ["study", "route"]\nprefer = ["thin"]')
    rows = [stack("a"), stack("b"), stack("c", shape=(2, 8, 8)), stack("d", modality="PT")]
    assert {case.route: case.volume_key for case in plan_of(lock, rows).cases} == {"ct": "a", "thick": "c", "pet": "d"}
    of_route = selecting('[select]\none_per = "study"\nwhere = { route = "thick" }\nprefer = ["thin"]')
    assert plan_of(of_route, rows).lost == {}


def test_the_first_selection_that_fits_has_a_volume():
    lock = selecting(
        '[[select]]\nwhere = { kernel = "soft" }\nprefer = ["thick"]\n[[select]]\nprefer = ["thin"]',
    )
    rows = [
        stack(f"{name} {mm:g}", kernel_class=name, thickness_mm=mm) for name in ("soft", "sharp") for mm in (1.0, 5.0)
    ]
    assert {case.volume_key for case in plan_of(lock, rows).cases} == {"soft 5", "sharp 1"}


def test_only_what_a_route_takes_stands_for_choice():
    lock = selecting('[select]\none_per = "study"\nprefer = ["thin"]')
    rows = [stack("a", thickness_mm=0.5, verdict="refused"), stack("b", thickness_mm=1.0, modality="US"), stack("c")]
    plan = plan_of(lock, rows)
    assert [case.volume_key for case in plan.cases] == ["c"]
    assert (plan.skipped, plan.lost) == ({"b": "S_NO_ROUTE"}, {})


def test_the_other_volumes_of_the_best_ones_series_are_kept_where_asked():
    rows = [
        stack("a", series="s1", thickness_mm=1.0),
        stack("b", series="s1", thickness_mm=5.0),
        stack("c", series="s2", thickness_mm=2.0),
    ]
    text = '[select]\nprefer = ["thin"]\nkeep = "{}"'
    assert set(plan_of(selecting(text.format("volume")), rows).lost) == {"b", "c"}
    assert set(plan_of(selecting(text.format("series")), rows).lost) == {"c"}


def test_choices_come_before_parts_and_after_the_cohort():
    lock = selecting('[select]\nprefer = ["thin"]')
    rows = [stack(name, thickness_mm=mm) for name, mm in (("a", 1.0), ("b", 2.0), ("c", 3.0))]
    part = plan_of(lock, rows, chosen=frozenset({"b"}))
    assert part.skipped == {"a": "S_LIMIT", "b": "S_NOT_CHOSEN", "c": "S_NOT_CHOSEN"}
    # the first four digits of a series key say where it lies, and are in no cohort
    named = [{**row, "series_key": f"0000{row['volume_key']}"} for row in rows]
    cohort = Cohort(series=frozenset("bc"))
    limited = plan_of(lock, named, cohort=cohort)
    assert limited.skipped == {"a": "S_COHORT", "c": "S_NOT_CHOSEN"}
    assert [case.volume_key for case in limited.cases] == ["b"]


# held against DuckDB ----------------------------------------------------------------------------

COLUMNS = {
    "thin": "thickness_mm",
    "thick": "-thickness_mm",
    "soft_kernel": "CASE kernel_class WHEN 'soft' THEN 0 WHEN 'sharp' THEN 2 ELSE 1 END",
    "contrast": "CASE contrast WHEN true THEN 0 WHEN false THEN 2 ELSE 1 END",
    "original": "CASE derived WHEN false THEN 0 WHEN true THEN 2 ELSE 1 END",
    "many_slices": "-slices",
    "last_study": "-study_day",
}
"""Preferences as SQL; in these tables no two unlike values are within a tolerance."""

TABLE = st.lists(
    st.fixed_dictionaries(
        {
            "study": st.integers(0, 3),
            "patient": st.integers(0, 1),
            "modality": st.sampled_from(["CT", "PT"]),
            "thickness_mm": st.sampled_from([None, 0.5, 1.0, 2.5, 5.0]),
            "kernel_class": st.sampled_from([None, "soft", "sharp"]),
            "contrast": st.sampled_from([None, True, False]),
            "derived": st.sampled_from([None, True, False]),
            "slices": st.sampled_from([8, 20, 40]),
            "study_day": st.sampled_from([None, 0, 7]),
        }
    ),
    max_size=24,
)


def rows_of(table):
    rows = []
    for number, said in enumerate(table):
        # a study is of one patient, and all of it lies in one range
        study = key("study", said["patient"], said["study"])
        rows.append(
            stack(
                study[:4] + key("volume", number)[4:],
                series=study[:4] + key("series", number // 2)[4:],
                study=study,
                patient=key("patient", said["patient"]),
                shape=(said["slices"], 64, 64),
                spacing_mm=None,
                **{name: said[name] for name in said if name not in ("study", "patient", "slices")},
            )
        )
    return rows


def answers(rows, prefer, group):
    """Return by volume key which volume DuckDB sorts to the top of its group, and where the two first differ."""
    if not rows:
        return {}
    columns = ["volume_key", "series_key", "study_key", "patient_key", "modality", "thickness_mm", "kernel_class"]
    columns += ["contrast", "derived", "study_day"]
    candidates = {name: pa.array([row[name] for row in rows]) for name in columns}
    candidates["slices"] = pa.array([row["shape"][-3] for row in rows])
    order = ", ".join([*(f"{COLUMNS[name]} ASC NULLS LAST" for name in prefer), "series_key", "volume_key"])
    numbers = ", ".join(f"{COLUMNS[name]} AS n{place}" for place, name in enumerate(prefer))
    names = ", ".join(f"n{place}" for place in range(len(prefer)))
    firsts = ", ".join(f"first_value(n{place}) OVER w AS f{place}" for place in range(len(prefer)))
    query = (
        f"SELECT volume_key, first_value(volume_key) OVER w, {names}, {firsts} FROM (SELECT *, {numbers} FROM candidates) "
        f"WINDOW w AS (PARTITION BY {', '.join(group)} ORDER BY {order})"
    )
    with duckdb.connect() as connection:
        found = connection.register("candidates", pa.table(candidates)).sql(query).fetchall()
    result = {}
    for volume_key, winner, *values in found:
        own, best = values[: len(prefer)], values[len(prefer) :]
        differing = [name for name, mine, theirs in zip(prefer, own, best, strict=True) if mine != theirs]
        if volume_key != winner:
            result[volume_key] = (winner, differing[0] if differing else BY_KEY)
    return result


PREFER = st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4, unique=True)
GROUPS = st.sampled_from([("study",), ("study", "modality"), ("patient",), ("patient", "modality")])


@settings(max_examples=80, deadline=None)
@given(TABLE, PREFER, GROUPS, st.randoms(use_true_random=False))
def test_choices_are_those_that_sql_sorts_to_the_top_in_any_order_and_cut(table, prefer, group, rng):
    rows = rows_of(table)
    columns = [name if name == "modality" else f"{name}_key" for name in group]
    lock = selecting(f"[select]\none_per = {list(group)}\nprefer = {prefer}")
    expected = answers(rows, prefer, columns)
    for bits in (0, 2):
        assert lost_in_ranges(lock, rng.sample(rows, len(rows)), bits) == expected


def lost_in_ranges(lock, rows, bits):
    """Return what a plan of all ranges leaves out for another volume; count what becomes of each."""
    planner = Planner(lock, TERMS)
    parts = [[row for row in rows if row["series_key"] in one] for one in all_ranges(bits)]
    choices = PatientChoices(planner.selections)
    for part in parts:
        choices.add(planner.standing(part))
    losers = choices.chosen()
    lost = {}
    for one, part in zip(all_ranges(bits), parts, strict=True):
        plan = plan_of(lock, part, lost=losers.within(one))
        assert len(plan.cases) + len(plan.skipped) == len(part)
        lost |= {name: (found.winner, found.by) for name, found in plan.lost.items()}
    return lost


def test_choices_over_patients_are_found_in_the_range_of_the_loser():
    lock = selecting('[select]\none_per = "patient"\nprefer = ["thin"]')
    planner = Planner(lock, TERMS)
    rows = [stack(f"{digits}{name}", thickness_mm=mm) for digits, name, mm in (("0000", "a", 2.0), ("ffff", "b", 1.0))]
    choices = PatientChoices(planner.selections)
    for row in rows:
        choices.add(planner.standing([row]))
    losers = choices.chosen()
    assert {name: tuple(one) for name, one in losers.within(Range(1, 0)).items()} == {"0000a": ("ffffb", "thin")}
    assert losers.within(Range(1, 1)) == {}
    assert set(losers.within(Range(0, 0))) == {"0000a"}


def test_tolerances_do_not_make_a_choice_depend_on_the_order():
    lock = selecting('[select]\none_per = "study"\nprefer = ["coverage", "thin"]')
    near = {"affine_lps": [0.0] * 16, "spacing_mm": [1.0, 1, 1]}
    extents = {"a": (100, 3.0), "b": (97, 2.0), "c": (94, 1.0)}
    rows = [stack(name, shape=(n, 4, 4), thickness_mm=mm, **near) for name, (n, mm) in extents.items()]
    # c is as good as b, and b as a, but c is not as good as the best
    found = {repr(decided(lock, *order)) for order in itertools.permutations(rows)}
    assert len(found) == 1
    assert decided(lock, *rows) == ("b", {"c": "coverage", "a": "thin"})


def test_many_studies_keep_exactly_one_volume_each():
    rng = random.Random(5)
    table = [
        {
            "study": rng.randrange(300),
            "patient": 0,
            "modality": "CT",
            "thickness_mm": rng.choice([None, 1.0, 5.0]),
            "kernel_class": rng.choice([None, "soft", "sharp"]),
            "contrast": None,
            "derived": None,
            "slices": 20,
            "study_day": None,
        }
        for _ in range(1000)
    ]
    rows = rows_of(table)
    plan = plan_of(selecting('[select]\none_per = "study"\nprefer = ["soft_kernel", "thin"]'), rows)
    studies = {row["volume_key"]: row["study_key"] for row in rows}
    assert sorted(studies[case.volume_key] for case in plan.cases) == sorted(set(studies.values()))

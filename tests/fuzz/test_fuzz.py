from __future__ import annotations

import json
import random

import numpy as np
import pytest

from medpipe.archive.header import read_header
from medpipe.archive.pixels import decode
from medpipe.engine.replies import Death
from medpipe.errors import Rejected
from medpipe.keys import array_digest
from tests.fuzz.anatomy import take_apart
from tests.fuzz.bombs import BOMBS
from tests.fuzz.mutators import MUTATORS
from tests.fuzz.other_bombs import OTHER_BOMBS
from tests.fuzz.other_mutators import OTHER_MUTATORS
from tests.fuzz.other_seeds import other_seeds
from tests.fuzz.run import SMALL_BYTES, Counts, Fuzz, Mutant, how_to_repeat
from tests.fuzz.seeds import own_seeds
from tests.fuzz.whole import run_whole

MUTANTS = 400


@pytest.fixture(scope="module")
def fuzz():
    with Fuzz(seed=1, data_root=None, workers=2) as bench:
        yield bench


@pytest.fixture(scope="module")
def untouched(fuzz):
    return fuzz.untouched()


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return own_seeds(tmp_path_factory.mktemp("seeds"))


def test_what_mutants_are_made_of_is_sound(fuzz, untouched):
    assert len(untouched) >= 30
    told = {name: found["code"] for name, found in untouched.items() if found["outcome"] not in {"used", "catalogued"}}
    assert told == {seed.name: seed.code for seed in fuzz.seeds if seed.code}
    drawn = {name.rpartition("/")[2] for name, found in untouched.items() if found.get("drawn")}
    assert drawn == {"seg", "rtstruct", "nifti mask", "nrrd mask"}
    assert all(len(found["digests"]) == 4 for found in untouched.values() if found["code"] == "S_ARCHIVE")


def test_mutants_end_in_the_tables_or_with_a_reason(fuzz, untouched):
    counts = fuzz.run(range(MUTANTS))
    told = [f"{found.what}: {how_to_repeat(1, found.number, own=True)}" for found in counts.findings]
    assert told == []
    assert sum(counts.outcomes.values()) == counts.mutants == MUTANTS
    assert min(counts.outcomes[outcome] for outcome in ("used", "quarantined")) > MUTANTS // 20


@pytest.mark.slow
def test_bombs_are_small_and_cost_little(fuzz):
    counts = Counts()
    made = [(bomb.__name__, bomb(random.Random(place))) for place in range(2) for bomb in (*BOMBS, *OTHER_BOMBS)]
    mutants = [Mutant(number, (name,), -1, data) for number, (name, data) in enumerate(made)]
    assert max(len(mutant.data) for mutant in mutants) < SMALL_BYTES
    for mutant, result in fuzz._results(mutants):
        fuzz._count(counts, mutant, result)
    # how long it takes is for the bench to tell: a test that looks at the clock fails on a busy host
    assert [found for found in counts.findings if " s for " not in found.what] == []


def test_a_mutant_is_made_again_from_its_number(fuzz):
    with Fuzz(seed=1, data_root=None, workers=1) as again:
        for number in (0, 7, 311, 99_999):
            assert again.mutant(number) == fuzz.mutant(number)
    assert how_to_repeat(3, 17, own=True) == "python -m tests.fuzz --seed 3 --only 17 --own"


def test_every_mutator_changes_most_files_in_some_way(seeds):
    files = [take_apart(seed.data) for seed in seeds]
    for mutator in set(MUTATORS):
        rng = random.Random(mutator.__name__)
        changed = sum(
            mutator(rng, file, rng.choice(files)) != seed.data
            for file, seed in zip(files, seeds, strict=True)
            if file.elements
        )
        assert changed > len(seeds) * 0.6, mutator.__name__


def test_every_mutator_changes_most_files_of_the_other_doors():
    files = [seed.data for seed in other_seeds()]
    for mutator in set(OTHER_MUTATORS):
        rng = random.Random(mutator.__name__)
        changed = sum(mutator(rng, data, rng.choice(files)) != data for data in files)
        assert changed > len(files) * 0.6, mutator.__name__


ARCHIVE = {"outcome": "skipped", "code": "S_ARCHIVE", "cpu_s": 0.1, "above_bytes": 1 << 20}


@pytest.mark.parametrize(
    ("kept", "result", "said"),
    [
        (4, {"members": [["used", ""]] * 4}, None),
        (
            3,
            {"members": [["used", ""]] * 3},
            "cut to 9 bytes it gives other pixels, or does not say that some are gone",
        ),
        (3, {"members": [["used", ""]] * 3, "outcome": "quarantined", "code": "E_TRUNCATED"}, None),
        (4, {"members": [["quarantined", "E_UNHEARD_OF"]]}, "a member that ended as quarantined, code E_UNHEARD_OF"),
    ],
)
def test_what_must_not_be_of_an_archive_file_is_noticed(fuzz, untouched, kept, result, said):
    (place,) = (place for place, seed in enumerate(fuzz.seeds) if seed.name == "own/zip")
    digests = untouched["own/zip"]["digests"][:kept]
    counts = Counts()
    fuzz._count(counts, Mutant(5, ("cut",), place, bytes(9)), {**ARCHIVE, "digests": digests, **result})
    assert [found.what for found in counts.findings] == ([] if said is None else [said])


GOOD = {"outcome": "quarantined", "code": "E_TRUNCATED", "digests": [], "cpu_s": 0.1, "above_bytes": 1 << 20}


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (GOOD, None),
        ({**GOOD, "code": "E_INTERNAL"}, "code E_INTERNAL"),
        ({**GOOD, "code": "E_UNHEARD_OF"}, "code E_UNHEARD_OF"),
        ({**GOOD, "outcome": "lost"}, "outcome lost"),
        ({**GOOD, "cpu_s": 1.5}, "1.50 s for 9 bytes"),
        ({**GOOD, "above_bytes": 300 << 20}, "300 MiB for 9 bytes"),
        ({**GOOD, "outcome": "used", "code": "", "cpu_s": 1.5}, "cut to 9 bytes it gives other pixels"),
        (Death(code="E_CRASH", stage="read", signal=11), "E_CRASH in read, signal 11"),
    ],
)
def test_what_must_not_be_is_noticed(fuzz, untouched, result, said):
    counts = Counts()
    fuzz._count(counts, Mutant(5, ("truncated",), 0, bytes(9)), result)
    told = [found.what for found in counts.findings]
    assert told == [] if said is None else told[0].startswith(said)
    json.dumps(counts.report())


def cut(data, end):
    """Return the digest of the voxels of a file cut short, or its code."""
    header = read_header(data[:end], path="a", size=end, version="")
    if header.code or not header.has_pixels:
        return header.code or "no pixels"
    try:
        return array_digest(np.asarray(decode(header, data[:end])))
    except Rejected as rejected:
        return rejected.code


@pytest.mark.parametrize("every", [pytest.param(29, marks=pytest.mark.long), 151])
def test_a_file_cut_at_any_byte_gives_the_right_pixels_or_a_reason(seeds, every):
    wrong = []
    for seed in seeds:
        whole = cut(seed.data, len(seed.data))
        ends = {*range(0, len(seed.data), every), *range(len(seed.data) - 20, len(seed.data))}
        found = {end: cut(seed.data, end) for end in ends}
        wrong += [(seed.name, end) for end, said in found.items() if len(said) == 64 and said != whole]
    assert wrong == []


@pytest.mark.slow
def test_a_whole_run_over_mutants_has_a_row_for_each(fuzz, tmp_path):
    found = run_whole(fuzz.named(range(300)), tmp_path, workers=2)
    assert found["findings"] == []
    assert found["files"] == 300
    assert found["rows"] == sum(found["outcomes"].values()) > 300

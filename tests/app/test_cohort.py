from __future__ import annotations

from datetime import timedelta

import pytest

import medpipe
from medpipe.app.cohort import read_cohort
from medpipe.app.gc import collect_garbage
from medpipe.app.prepare import last_request, plan_run
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.status import lake_status
from medpipe.errors import ConfigError
from medpipe.lake.lake import Lake
from medpipe.lake.runs import Run, run_names
from medpipe.plan.cohort import Cohort
from medpipe.privacy.secret import load_secret
from tests.app.phantom import rows, uid
from tests.app.reconstructions import ROUTE, Place, write_series
from tests.cli.commands import medpipe as command
from tests.cli.commands import write_key

RECIPE = f'name = "mine"\n{ROUTE}'


class Heard(Silent):
    """Progress that is kept."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture
def place(tmp_path):
    return Place(folder=tmp_path, key=write_key(tmp_path / "home"))


@pytest.fixture
def archive(tmp_path):
    """Return three patients; the first has two studies, and one of these two series."""
    folder = tmp_path / "archive"
    for name, study, patient, step_mm in (
        ("1", "1", "ANNA", 1.0),
        ("2", "1", "ANNA", 2.0),
        ("3", "2", "ANNA", 3.0),
        ("4", "3", "BERTA; 2", 4.0),
        ("5", "4", "CARL", 5.0),
    ):
        write_series(folder, name, study=study, patient=patient, step_mm=step_mm, ConvolutionKernel="B30f")
    return folder


def run(place, archive, text=None, *, name="cohort.csv", **wishes):
    """Run with the text of a cohort file; return the names of what was worked on, and the digest of the cohort."""
    if text is not None:
        wishes["cohort"] = place.folder / name
        wishes["cohort"].write_text(text, encoding="utf-8")
    place.run(archive, recipe=RECIPE, **wishes)
    return place.worked_on(), rows(place.lake, "runs")[-1]["cohort"]


def test_a_file_names_patients_studies_and_series_in_many_ways(place, archive):
    anna = {"B30f 1", "B30f 2", "B30f 3"}
    digests = set()
    for text in (
        "ANNA\n",
        "\ufeffANNA\r\n\r\n  ANNA \n",
        "PatientID\nANNA\n",
        "label;patient_id\nx;ANNA\ny;ANNA\n",
        '"Patient ID","age"\n"ANNA","61"\n',
    ):
        found, digest = run(place, archive, text)
        assert found == anna
        digests.add(digest)
    # a name that may be anything names more keys than one that is a patient's
    assert len(digests) == 2
    assert run(place, archive, f"{uid('study', '1')}\n")[0] == {"B30f 1", "B30f 2"}
    assert run(place, archive, f"SeriesInstanceUID\n{uid('series', '2')}\n")[0] == {"B30f 2"}
    assert run(place, archive, f"patient_id\tseries_uid\nANNA\t{uid('series', '2')}\nCARL\t\n")[0] == {
        "B30f 2",
        "B30f 5",
    }
    assert run(place, archive, 'patient\n"BERTA; 2"\n')[0] == {"B30f 4"}
    series = {row["series_key"]: row for row in rows(place.lake, "series")}
    key, other = sorted(series)[:2]
    assert {row["series_key"] for row in rows(place.lake, "volumes") if row["code"] is None} == {
        row["series_key"] for row in rows(place.lake, "cases")
    }
    run(place, archive, f"{key}\n")
    assert {row["series_key"] for row in rows(place.lake, "cases")} == {key}
    run(place, archive, f"study_key\n{series[other]['study_key']}\n")
    assert {row["study_key"] for row in rows(place.lake, "series") if row["series_key"] == other} == {
        series[row["series_key"]]["study_key"] for row in rows(place.lake, "cases")
    }


def test_python_takes_a_cohort_as_the_command_line_does(place, archive, tmp_path):
    (tmp_path / "cohort.txt").write_text("ANNA\n")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "site.toml").write_text(f'engine = "serial"\nworkers = 1\nkey_file = "{place.key}"\n')
    given = {"site": tmp_path / "site.toml", "cohort": str(tmp_path / "cohort.txt")}
    planned = medpipe.preview(tmp_path / "recipe.toml", archive, place.lake, **given)
    assert (planned["cases"]["all"], planned["cohort"]["series"]) == (3, 3)
    medpipe.run(tmp_path / "recipe.toml", archive, place.lake, **given)
    assert place.worked_on() == {"B30f 1", "B30f 2", "B30f 3"}
    assert run(place, archive, "ANNA\n")[1] == rows(place.lake, "runs")[0]["cohort"]
    given |= {"cohort": None, "cohort_sql": "SELECT series_key FROM volumes WHERE thickness_mm > 3.5"}
    medpipe.run(tmp_path / "recipe.toml", archive, place.lake, **given)
    assert place.worked_on() == {"B30f 4", "B30f 5"}
    with pytest.raises(ConfigError, match="one of the two"):
        medpipe.run(tmp_path / "recipe.toml", archive, place.lake, **{**given, "cohort": "any"})


@pytest.mark.parametrize("first", ["Patient001", "PATIENT-01", "Study 1", "series_7", "patient_é", "Patient.", "CARL"])
def test_a_first_line_that_only_resembles_a_name_of_a_column_is_an_identifier(tmp_path, first):
    path = tmp_path / "cohort.txt"
    path.write_text(f"{first}\nPatient002\n", encoding="utf-8")
    entries, header = read_cohort(path)
    assert [(entry.line, entry.text, entry.kind) for entry in entries] == [(1, first, None), (2, "Patient002", None)]
    assert header is None


@pytest.mark.parametrize("first", ["patient_id", "PatientID", "Patient ID", "patient-id", "PATIENT", '"Patient ID"'])
def test_a_header_is_told_by_its_line(tmp_path, first):
    path = tmp_path / "cohort.txt"
    path.write_text(f"\n{first}\nPatient002\n", encoding="utf-8")
    entries, header = read_cohort(path)
    assert [(entry.line, entry.text, entry.kind) for entry in entries] == [(3, "Patient002", "patient")]
    assert header == 2


def test_a_table_of_several_columns_has_its_header(tmp_path):
    path = tmp_path / "cohort.csv"
    path.write_text("patient_id,age\nA,61\n")
    assert read_cohort(path).header is None


def test_what_is_not_in_the_cohort_has_a_row_and_counts_add_up(place, archive):
    report = place.run(archive, recipe=RECIPE, **cohort_of(place, "CARL\n"))
    assert report.published.snapshot.counts == {"planned": 5, "committed": 1, "quarantined": 0, "skipped": 4}
    assert report.published.left_out == {"S_COHORT": 4}
    assert {row["code"] for row in rows(place.lake, "volumes")} == {None, "S_COHORT"}
    assert {(row["outcome"], row["code"]) for row in rows(place.lake, "instances")} == {
        ("used", None),
        ("skipped", "S_COHORT"),
    }
    assert "complete for the cohort" in report.facts()["note"]


def cohort_of(place, text):
    path = place.folder / "cohort.csv"
    path.write_text(text, encoding="utf-8")
    return {"cohort": path}


def test_what_matches_nothing_is_told_by_line_and_nowhere_written(place, archive):
    heard = Heard()
    request = place.request(archive, recipe=RECIPE, **cohort_of(place, "patient_id\nCARL\nDOE^JANE\nNOBODY\n"))
    report = run_archive(request, heard)
    assert heard.lines == [
        "cohort: line 1 is taken for the name of the column, not for an identifier",
        "cohort: 2 of its entries match nothing in the lake (lines 3, 4)",
    ]
    told = report.facts()["cohort"]
    assert (told["entries"], told["entries that match nothing"], told["series"]) == (3, 2, 1)
    for path in place.lake.rglob("*"):
        found = path.read_bytes() if path.is_file() else b""
        assert not any(name in found for name in (b"DOE^JANE", b"NOBODY", b"CARL", b"cohort.csv"))
    names = {row["cohort"] for row in rows(place.lake, "runs")}
    assert names == {told["digest"]}
    assert rows(place.lake, "runs")[-1]["cohort_entries"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n  \n", "the file is empty"),
        ("patient_id\n\n", "names nothing"),
        ("ANNA,61\nCARL,70\n", "none is named patient_id"),
        ("A,B\n", "double quotes"),
        ('patient_id,age\n"ANNA,61\n', "no table"),
        ("NOBODY\n", "no series of the lake is in the cohort"),
    ],
)
def test_a_cohort_of_nothing_is_refused_and_readers_keep_their_tables(place, archive, text, message):
    place.run(archive, recipe=RECIPE)
    with pytest.raises(ConfigError, match=message):
        place.run(archive, recipe=RECIPE, **cohort_of(place, text))
    assert len(place.worked_on()) == 5
    assert len(run_names(Lake.open(place.lake))) == 1


def test_a_file_that_cannot_be_read_and_two_cohorts_are_refused_before_a_lake_is_made(place, archive):
    path = place.folder / "cohort.bin"
    for encoding in ("utf-16", "latin-1"):
        path.write_bytes("Müller\n".encode(encoding))
        with pytest.raises(ConfigError, match=r"cannot be read.*save it as UTF-8"):
            read_cohort(path)
    for wishes in (
        {"cohort": place.folder / "missing.csv"},
        {"cohort": path, "cohort_sql": "SELECT series_key FROM series"},
        {"cohort_sql": "SELECT kvp FROM series"},
        {"cohort_sql": "SELECT series_key, study_key FROM series"},
        {"cohort_sql": "DROP TABLE series"},
        {"cohort_sql": "SELECT series_key FROM features"},
    ):
        with pytest.raises(ConfigError):
            place.run(archive, recipe=RECIPE, **wishes)
    assert not place.lake.exists()


def test_a_query_over_the_whole_index_gives_a_cohort(place, archive):
    query = (
        "SELECT study_key FROM series GROUP BY study_key HAVING count(*) > 1 UNION "
        "SELECT study_key FROM volumes JOIN series USING (series_key) WHERE thickness_mm = 5"
    )
    assert run(place, archive, cohort_sql=query)[0] == {"B30f 1", "B30f 2", "B30f 5"}
    with pytest.raises(ConfigError, match="no series of the lake"):
        run(place, archive, cohort_sql="SELECT patient_key FROM series WHERE kvp > 1000")


def test_the_same_cohort_is_the_same_run_and_a_changed_file_is_told(place, archive):
    _, first = run(place, archive, "patient_id\nANNA\nCARL\n")
    assert place.run(archive, recipe=RECIPE, **cohort_of(place, "Patient ID\nCARL\nANNA\nANNA\n")).run == ""
    assert lake_status(place.lake)["cohort"] == f"{first} (2 entries)"

    changed = place.request(archive, recipe=RECIPE, **cohort_of(place, "patient_id\nANNA\n"))
    planned = plan_run(changed, Silent())
    assert planned["cohort"]["run before"] == f"{first} (2 entries)"
    assert planned["cohort"]["digest"] != first
    assert planned["rows that leave the tables, by why"] == {"S_COHORT": 1}
    run_archive(changed, Silent())
    told = lake_status(place.lake)
    assert told["cohort of the run before"] == f"{first} (2 entries)"
    assert told["cohort"] == f"{planned['cohort']['digest']} (1 entries)"

    whole = place.request(archive, recipe=RECIPE)
    assert plan_run(whole, Silent())["cohort"] == {"run before": told["cohort"]}
    assert run_archive(whole, Silent()).executed == 1
    assert rows(place.lake, "runs")[-1]["cohort"] is None
    assert "cohort" not in plan_run(whole, Silent())


def test_another_cohort_of_the_same_series_is_a_run_of_its_own(place, archive):
    _, first = run(place, archive, "patient_id\nCARL\n")
    found, second = run(place, archive, f"study_uid\n{uid('study', '4')}\n")
    assert found == {"B30f 5"}
    assert first != second
    assert len(run_names(Lake.open(place.lake))) == 2


def test_new_series_of_a_patient_in_the_cohort_are_taken(place, archive):
    run(place, archive, "patient_id\nCARL\n")
    write_series(archive, "6", study="9", patient="CARL", step_mm=6.0, ConvolutionKernel="B30f")
    write_series(archive, "7", study="8", patient="DORA", step_mm=7.0, ConvolutionKernel="B30f")
    assert run(place, archive, "patient_id\nCARL\n")[0] == {"B30f 5", "B30f 6"}


def test_a_run_is_taken_up_with_the_cohort_it_had(place, archive):
    found, digest = run(place, archive, "patient_id\nCARL\n")
    (place.folder / "cohort.csv").unlink()
    last = last_request(place.lake, ("E_OOM",), site=place.request(archive).site)
    assert last.request.frozen.digest == digest
    assert list(last.lines())[-1].count(digest[:16]) == 1
    run_archive(last.request, Silent())
    assert place.worked_on() == found
    assert rows(place.lake, "runs")[-1]["cohort"] == digest


def test_gc_keeps_the_cohorts_of_runs_it_keeps(place, archive):
    _, digest = run(place, archive, "patient_id\nCARL\n")
    place.run(archive, recipe=RECIPE.replace("mine", "other"))
    for _ in range(2):
        collect_garbage(place.lake, place.request(archive).site, Silent(), grace=timedelta(0))
    lake = Lake.open(place.lake, secret=load_secret(place.key))
    kept = [Run(lake, name).cohort() for name in run_names(lake)]
    assert [one and Cohort.from_json(one).digest for one in kept] == [digest, None]


def test_the_command_line_refuses_an_empty_cohort_and_a_query_for_no_keys(place, archive):
    recipe = place.folder / "cli.toml"
    recipe.write_text(RECIPE)
    (place.folder / "cohort.txt").write_text("NOBODY\n")
    arguments = ["plan", archive, "--lake", place.lake, "-r", recipe, "--engine", "serial"]
    ended = command(*arguments, "--cohort", place.folder / "cohort.txt", home=place.folder / "home")
    assert ended.code == 5
    assert "no series of the lake is in the cohort" in ended.refusal()
    ended = command(*arguments, "--cohort-sql", "SELECT kvp FROM series", home=place.folder / "home")
    assert ended.code == 5
    assert "series_key, study_key or patient_key is expected" in ended.refusal()

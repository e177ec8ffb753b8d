"""References to models: the latest, one digest, or a clear refusal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medpipe.errors import ConfigError
from medpipe.models.package import write_package
from medpipe.models.resolve import Registered, read_shipped, resolve, shipped

A, B, C = "aaaaaa11" + "0" * 56, "aaaaaa22" + "0" * 56, "cccccc33" + "0" * 56
LAKE = [("nodule", A, 1), ("nodule", B, 2), ("other", C, 3)]
SHIPPED = (Registered(name="nodule", digest=C), Registered(name="demo", digest=A))


@pytest.mark.parametrize(
    ("reference", "digest"),
    [
        ("nodule", B),
        ("nodule@latest", B),
        ("nodule@aaaaaa11", A),
        (f"nodule@{B}", B),
        ("nodule@cccccc", C),
        ("demo", A),
        ("demo@aaaaaa", A),
        ("other@latest", C),
    ],
)
def test_a_reference_means_one_model(reference, digest):
    found = resolve(reference, LAKE, SHIPPED)
    assert (found.name, found.digest) == (reference.partition("@")[0], digest)


@pytest.mark.parametrize("lake", [LAKE, LAKE[::-1]])
def test_the_latest_is_by_order_not_by_place(lake):
    assert resolve("nodule", lake, ()).digest == B


@pytest.mark.parametrize(
    ("reference", "match"),
    [
        ("nothing", "no such model .known: demo, nodule, other"),
        ("nodule@aaaaaa", "more than one"),
        ("nodule@bbbbbb", "no model of this digest .known: aaaaaa110000, aaaaaa220000"),
        ("nodule@aaa", "hexadecimal"),
        ("nodule@", "hexadecimal"),
        ("nodule@LATEST", "hexadecimal"),
        ("", "model name"),
        ("../nodule", "model name"),
    ],
)
def test_an_unclear_reference_is_one_clear_error(reference, match):
    with pytest.raises(ConfigError, match=match):
        resolve(reference, LAKE, SHIPPED if reference == "nothing" else ())


def test_a_name_that_was_taken_back_is_that_of_the_shipped_model_and_its_digests_mean_what_they_did():
    lake = [("nodule", A, 0), ("demo", B, 0), ("other", C, 1)]
    assert resolve("demo", lake, SHIPPED).digest == A
    assert resolve(f"demo@{B}", lake, SHIPPED).digest == B
    assert resolve("nodule@aaaaaa", lake, ()).digest == A
    for reference in ("nodule", "nodule@latest"):
        with pytest.raises(ConfigError, match=r"no such model .known: other"):
            resolve(reference, lake, ())


def test_shipped_models_are_listed_and_read(packages, tmp_path):
    assert shipped(tmp_path) == ()
    assert shipped(tmp_path / "none") == ()
    for name in ("b_model", "a_model"):
        write_package(packages["logistic" if name == "a_model" else "svm"], tmp_path / name)
    (tmp_path / "__pycache__").mkdir()
    found = shipped(tmp_path)
    assert [item.digest for item in found] == [packages["logistic"].digest, packages["svm"].digest]
    assert read_shipped(found[0]).digest == found[0].digest
    with pytest.raises(ConfigError, match="not shipped"):
        read_shipped(Registered(name="nodule", digest=A))


def test_what_is_shipped_with_medpipe_can_be_listed():
    assert all(resolve(f"{item.name}@{item.digest}", ()) == item for item in shipped())


def test_importing_the_models_imports_no_scikit_learn():
    modules = "card, package, resolve, samples, score, skops_file, train, trust, algorithms, evaluate"
    code = f"import sys; from medpipe.models import {modules}; print(sorted({{'sklearn', 'skops'}} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[]"

"""A network from a person's file to rows: registered, pinned, asked in cases, and told in every table."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from medpipe.app import networks
from medpipe.app.models import list_models
from medpipe.app.networks import RegisterRequest, register_network
from medpipe.app.train import TrainRequest, train_model
from medpipe.app.verify import verify_lake
from medpipe.cli import main
from medpipe.errors import ConfigError, SecurityError
from medpipe.lake.lake import Lake
from medpipe.lake.models import model_files
from medpipe.lake.query import sql
from medpipe.lake.volumes import open_array, read_volume
from tests.app.phantom import rows
from tests.app.reconstructions import Place, write_series
from tests.app.runs import command, medpipe
from tests.app.test_engines_equal import ENGINES, assert_same_computed
from tests.cli.commands import write_key
from tests.models.networks import encoder, endless, identity, smoothing

CARD = """
name = "clean"
kind = "image"
description = "a mean of 27"
patch = [4, 8, 8]
modalities = ["CT"]
unit = "HU"
spacing_mm = [0, 0.98, 0.98]
spacing_tolerance = 1.0
limits = [-2000, 4000]
center = 40
width = 400
"""
ENCODER = """
kind = "encoder"
layout = "NCYX"
patch = [1, 8, 8]
numbers = 3
width = 1000.0
"""
RECIPE = """
name = "asking"

[[route]]
name = "ct"
where = { modality = "CT" }
image = [ { op = "learned", model = "clean" } ]
regions = [ { op = "whole" } ]
features = [
    { name = "first", op = "ibsi", image = "final", families = ["statistics"] },
    { name = "seen", op = "deep", model = "code" },
]
views = [ { name = "mip", op = "projection", image = "final" } ]
keep = [ "original", "final" ]
"""


def write_files(folder, data, text):
    folder.mkdir(exist_ok=True)
    (folder / "net.onnx").write_bytes(data)
    (folder / "card.toml").write_text(text)
    return folder / "net.onnx", folder / "card.toml"


def register(lake, folder, data, text, **said):
    network, card = write_files(folder, data, text)
    return register_network(RegisterRequest(lake=lake, network=network, card=card, **said))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a lake with two networks, an archive of a CT, and the facts of the networks."""
    folder = tmp_path_factory.mktemp("networks")
    write_series(folder / "archive", "a")
    made = Place(folder=folder, key=write_key(folder / "home"))
    made.run(folder / "archive")
    clean = register(made.lake, folder / "n", smoothing(), CARD)
    code = register(made.lake, folder / "n", encoder(3, planes=True), ENCODER, name="code")
    made.run(folder / "archive", recipe=RECIPE)
    return made, clean, code


def test_a_registered_network_is_listed_with_the_models(place):
    made, clean, code = place
    listed = {row["name"]: row for row in list_models(made.lake) if row["from"] == "lake"}
    assert listed["clean"]["algorithm"] == "network: image"
    assert listed["code"]["algorithm"] == "network: encoder"
    assert listed["clean"]["digest"] == clean.package.digest[:16]
    assert code.facts()["numbers"] == 3
    assert clean.package.card.memory_mb >= networks.LEAST_MB


def test_each_table_says_that_a_network_made_the_image(place):
    made, _, _ = place
    lake = Lake.open(made.lake)
    by_extraction = {row["extraction"]: row for row in rows(made.lake, "features")}
    assert (by_extraction["first"]["status"], by_extraction["first"]["code"]) == ("flagged", "W_SYNTHETIC")
    assert by_extraction["seen"]["status"] == "ok"
    assert np.isfinite([by_extraction["seen"][f"deep_00{place}"] for place in range(3)]).all()
    told = {(row["stage"], row["code"], row["severity"]) for row in rows(made.lake, "quarantine")}
    assert told == {("image", "W_SYNTHETIC", "warning"), ("views", "W_SYNTHETIC", "warning")}
    (store,) = sql(lake, "SELECT final_store FROM volumes").to_pydict()["final_store"]
    assert open_array(lake, store)[1]["synthetic"] is True
    assert read_volume(lake, store).synthetic
    dictionary = {row["name"]: row for row in rows(made.lake, "feature_dictionary")}
    assert dictionary["deep_002"]["family"] == "deep"


def test_the_numbers_are_those_of_the_network_over_the_stored_image(place):
    made, _, _ = place
    lake = Lake.open(made.lake)
    stored = sql(lake, "SELECT store, final_store FROM volumes").to_pylist()[0]
    original, final = (read_volume(lake, stored[name]).data.astype(np.float64) for name in ("store", "final_store"))
    # a mean of 27 takes noise away
    assert final.shape == original.shape
    assert final[1:-1, 4:-4, 4:-4].std() < 0.6 * original[1:-1, 4:-4, 4:-4].std()
    (row,) = [row for row in rows(made.lake, "features") if row["extraction"] == "seen"]
    starts = range(0, original.shape[1] - 7, 4)
    tiles = [plane[y : y + 8, x : x + 8] / 1000 for plane in original for y in starts for x in starts]
    mean, size = np.mean([tile.mean() for tile in tiles]), np.mean([np.abs(tile).mean() for tile in tiles])
    expected = [mean * number + size for number in (1, 2, 3)]
    np.testing.assert_allclose([row[f"deep_00{number}"] for number in range(3)], expected, rtol=1e-4)


def test_a_second_run_computes_nothing_and_another_network_only_what_depends_on_it(place, tmp_path):
    made, clean, _ = place
    archive = made.folder / "archive"
    assert made.run(archive, recipe=RECIPE).executed == 0
    assert verify_lake(made.lake)["damaged"] == []
    again = register(made.lake, tmp_path, smoothing(), CARD)
    assert again.package.digest == clean.package.digest
    assert made.run(archive, recipe=RECIPE).executed == 0
    other = register(made.lake, tmp_path, identity(), CARD)
    before = {row["extraction"]: row for row in rows(made.lake, "features")}
    assert made.run(archive, recipe=RECIPE).executed == 1
    after = {row["extraction"]: row for row in rows(made.lake, "features")}
    assert after["seen"] == before["seen"]
    assert after["first"]["stat_var"] > before["first"]["stat_var"]
    by_digest = RECIPE.replace('"clean"', f'"clean@{clean.package.digest[:12]}"')
    assert made.run(archive, recipe=by_digest).executed == 0
    assert other.package.digest != clean.package.digest


def test_an_image_that_a_network_is_not_for_is_a_row(place, tmp_path):
    made, _, _ = place
    register(made.lake, tmp_path, smoothing(), CARD.replace('"clean"', '"mr"').replace('"CT"', '"MR"'))
    text = RECIPE.replace('"clean"', '"mr"').replace('"asking"', '"other"')
    report = made.run(made.folder / "archive", recipe=text)
    assert report.executed == 1
    told = {(row["stage"], row["code"]) for row in rows(made.lake, "quarantine")}
    assert {("image", "E_NETWORK_INPUT"), ("features", "E_NETWORK_INPUT")} <= told
    assert {row["extraction"] for row in rows(made.lake, "features")} == {"seen"}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('model = "clean"', 'model = "none"', r"route\.0\.image\.0\.model: model 'none': no such model"),
        ('model = "clean"', 'model = "code"', "network code is an encoder, and learned takes from image to image"),
        ("keep =", 'models = [ "clean" ]\nkeep =', "model clean is a network: ops name it"),
    ],
)
def test_a_recipe_that_names_a_network_wrongly_is_one_clear_error(place, before, after, message):
    made, _, _ = place
    with pytest.raises(ConfigError, match=message):
        made.run(made.folder / "archive", recipe=RECIPE.replace(before, after))


@pytest.mark.parametrize(
    ("data", "text", "error", "message"),
    [
        (b"", CARD, SecurityError, "not an ONNX file"),
        (identity()[:-50], CARD, SecurityError, "cut short"),
        (identity(), CARD.replace("patch", "tile"), ConfigError, r"card\.facts\.patch: missing|tile: no such"),
        (identity(), "kind = ", ConfigError, "not valid TOML"),
        (encoder(), CARD, ConfigError, "its output is"),
        (endless(1e14), CARD, ConfigError, "it fails"),
    ],
)
def test_what_cannot_be_registered_is_one_clear_error(place, tmp_path, data, text, error, message):
    made, _, _ = place
    before = len(list_models(made.lake))
    with pytest.raises(error, match=message):
        register(made.lake, tmp_path, data, text)
    assert len(list_models(made.lake)) == before


def test_a_name_means_networks_or_models_for_scores_and_never_both(place, tmp_path):
    made, _, _ = place
    shipped = next(row["name"] for row in list_models(made.lake) if row["from"] == "shipped")
    with pytest.raises(ConfigError, match=f"model {shipped}: there is a model for scores of this name"):
        register(made.lake, tmp_path, smoothing(), CARD, name=shipped)
    request = TrainRequest(lake=made.lake, labels=tmp_path / "labels.csv", target="t", name="code", region="whole")
    with pytest.raises(ConfigError, match="model code: there is a network of this name"):
        train_model(replace(request, key=made.key))


def test_a_network_that_takes_too_much_memory_costs_only_its_sandbox(place, tmp_path, monkeypatch):
    made, _, _ = place
    monkeypatch.setattr(networks, "TRIAL_BYTES", 600 << 20)
    with pytest.raises(ConfigError, match="it took more than"):
        register(made.lake, tmp_path, endless(7e8), CARD)


def test_the_command_tells_what_was_brought(place, tmp_path, capsys):
    made, _, _ = place
    network, card = write_files(tmp_path, smoothing(), CARD)
    assert main.run(["register", str(made.lake), str(network), "--card", str(card), "--name", "again", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["name"], facts["kind"], facts["patch"]) == ("again", "image", [4, 8, 8])
    assert main.run(["register", str(made.lake), str(tmp_path / "none"), "--card", str(card)]) == 5
    assert "none: no file" in capsys.readouterr().err


def test_a_name_that_is_taken_back_is_refused_and_runs_that_pin_it_go_on(place, tmp_path, capsys):
    made, _, _ = place
    digest = register(made.lake, tmp_path, smoothing(), CARD, name="brief").package.digest
    text = RECIPE.replace('"asking"', '"brief"').replace('"clean"', '"brief"')
    made.run(made.folder / "archive", recipe=text)
    assert main.run(["unregister", str(made.lake), "brief", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"name": "brief", "versions": [digest[:16]], "taken by recipes": ["brief"]}
    assert "brief" not in {row["name"] for row in list_models(made.lake)}
    with pytest.raises(ConfigError, match=r"route.0.image.0.model: model 'brief': no such model"):
        made.run(made.folder / "archive", recipe=text)
    pinned = text.replace('"brief" } ]', f'"brief@{digest[:12]}" }} ]')
    assert made.run(made.folder / "archive", recipe=pinned).executed == 0
    assert verify_lake(made.lake)["damaged"] == []
    assert main.run(["unregister", str(made.lake), "brief"]) == 5
    assert "no model of this name (known: " in capsys.readouterr().err


def test_planning_reads_each_network_once(place, monkeypatch):
    made, _, code = place
    reads = []
    monkeypatch.setattr(networks, "model_files", lambda lake, digest: reads.append(digest) or model_files(lake, digest))
    pin = networks.network_resolver(Lake.open(made.lake))
    assert {pin("code").digest for _ in range(3)} == {code.package.digest}
    assert reads == [code.package.digest]


@pytest.mark.slow
def test_engines_agree_on_what_networks_make(place, tmp_path):
    made, _, _ = place
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    key = write_key(tmp_path)
    for engine in ("serial", "dask-2"):
        one = Place(folder=tmp_path / engine, key=key)
        one.folder.mkdir()
        one.run(made.folder / "archive")
        register(one.lake, tmp_path / "n", smoothing(), CARD)
        register(one.lake, tmp_path / "n", encoder(3, planes=True), ENCODER, name="code")
        medpipe(command([made.folder / "archive"], one.lake, str(recipe), *ENGINES[engine]), tmp_path, exit_code=0)
    assert_same_computed(tmp_path / "serial" / "lake", tmp_path / "dask-2" / "lake")

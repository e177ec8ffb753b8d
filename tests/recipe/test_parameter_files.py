from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from medpipe.errors import ConfigError
from medpipe.ops.features import Pyradiomics
from medpipe.recipe.foreign_settings import SETTINGS
from medpipe.recipe.parameter_files import translate
from medpipe.recipe.recipe import parse_recipe

PARAMETERS = """
# an MR protocol
imageType:
  Original: {}
  LoG:
    sigma: [1.0, 3.0]
  Wavelet:
    level: 2

featureClass:
  shape:
  firstorder: []
  glcm:   # named one by one
    - Contrast
    - SumVariance

setting:
  normalize: true
  normalizeScale: 100
  removeOutliers: 3
  interpolator: 'sitkLinear'
  resampledPixelSpacing: [1, 2, 3]
  padDistance: 10
  voxelArrayShift: 300
  binWidth: 5
  label: 2
  correctMask: true
  resegmentRange: [-3, 3]
  resegmentMode: sigma
  minimumROISize: 50
  geometryTolerance: 1e-3
  wavelet: coif1

voxelSetting:
  kernelRadius: 2
"""


def _translated(text: str, **given: Any) -> tuple[Pyradiomics, dict[str, Any], dict[str, tuple[str, str]]]:
    """Return the extractor, the source of regions, and outcome and words for each entry."""
    found = translate(text, name="params", names=given.get("names", "medpipe"))
    tables = tomllib.loads(found.toml)
    (route,) = parse_recipe(tables).routes
    (extraction,) = route.features
    assert isinstance(extraction.op, Pyradiomics)
    notes = {note.place: (note.outcome, note.said) for note in found.notes}
    assert len(notes) == len(found.notes)
    return extraction.op, tables["route"][0]["regions"][0], notes


def _set(**settings: Any) -> str:
    return json.dumps({"setting": settings})


def test_a_parameter_file_becomes_a_recipe_with_the_same_settings() -> None:
    op, regions, _ = _translated(PARAMETERS)
    assert op == Pyradiomics(
        families=("firstorder", "shape", "glcm"),
        features=("glcm_Contrast",),
        bin_width=5.0,
        normalize=True,
        normalize_scale=100.0,
        outlier_limit=3.0,
        resample_mm=(3.0, 2.0, 1.0),
        interpolator="linear",
        pad_voxels=10,
        range=(-3.0, 3.0),
        range_mode="sigma",
        energy_shift=300.0,
        least_voxels=50,
    )
    assert regions == {"op": "segmentation_objects", "resample": True}


def test_each_entry_is_told_with_what_became_of_it() -> None:
    notes = _translated(PARAMETERS)[2]
    outcomes = {place: outcome for place, (outcome, _) in notes.items()}
    assert outcomes == {
        "imageType.Original": "taken",
        "imageType.LoG": "left out",
        "imageType.Wavelet": "left out",
        "featureClass.shape": "taken",
        "featureClass.firstorder": "taken",
        "featureClass.glcm": "taken",
        "featureClass.glcm.SumVariance": "left out",
        "setting.normalize": "taken",
        "setting.normalizeScale": "taken",
        "setting.removeOutliers": "taken",
        "setting.interpolator": "taken",
        "setting.resampledPixelSpacing": "taken",
        "setting.padDistance": "taken",
        "setting.voxelArrayShift": "taken",
        "setting.binWidth": "taken",
        "setting.label": "left out",
        "setting.correctMask": "taken",
        "setting.resegmentRange": "taken",
        "setting.resegmentMode": "taken",
        "setting.minimumROISize": "taken",
        "setting.geometryTolerance": "left out",
        "setting.wavelet": "no effect",
        "voxelSetting.kernelRadius": "left out",
    }
    assert "sigma_mm 1, 3" in notes["imageType.LoG"][1]
    assert "wavelet coif1, level 1, 2" in notes["imageType.Wavelet"][1]
    assert "differs" in notes["setting.binWidth"][1]
    lines = translate(PARAMETERS, name="params", names="medpipe").toml.splitlines()
    for place, (outcome, said) in notes.items():
        assert any(line.startswith(f"# {place}") and line.endswith(f": {outcome}: {said}") for line in lines)


def test_what_a_file_leaves_out_is_at_the_default_of_both() -> None:
    assert _translated("imageType:\n  Original: {}\n")[0] == Pyradiomics()
    assert _translated(_set())[0] == Pyradiomics()


def test_columns_can_be_named_as_there() -> None:
    op, _, _ = _translated(_set(binCount=32), names="pyradiomics")
    assert op == Pyradiomics(names="pyradiomics", bins=32)


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        ({"binWidth": 10, "binCount": 16}, {"bins": 16}),
        ({"binWidth": "1e-1"}, {"bin_width": 0.1}),
        ({"normalizeScale": 100, "removeOutliers": 3}, {}),
        ({"normalize": False, "normalizeScale": 100}, {}),
        ({"padDistance": 10, "preCrop": True}, {}),
        ({"resampledPixelSpacing": [2, 2]}, {"resample_mm": (0.0, 2.0, 2.0)}),
        ({"resampledPixelSpacing": [2, 2, 2], "interpolator": None}, {}),
        (
            {"resampledPixelSpacing": [2, 2, 2], "interpolator": 1},
            {"resample_mm": (2.0,) * 3, "interpolator": "nearest"},
        ),
        ({"resampledPixelSpacing": [2, 2, 2], "interpolator": 3}, {"resample_mm": (2.0,) * 3}),
        ({"resampledPixelSpacing": None, "weightingNorm": None, "resegmentRange": None}, {}),
        ({"weightingNorm": "euclidean"}, {"weighting": "euclidean"}),
        ({"distances": [1, 2], "gldm_a": 1}, {"distances": (1, 2), "gldm_within": 1}),
        ({"symmetricalGLCM": False, "resegmentShape": True}, {"symmetric": False, "range_shape": True}),
        ({"minimumROIDimensions": 3}, {"least_dimensions": 3}),
        ({"force2Ddimension": 1}, {}),
    ],
)
def test_settings_one_by_one(settings: dict[str, Any], given: dict[str, Any]) -> None:
    assert _translated(_set(**settings))[0] == Pyradiomics(**given)


def test_two_dimensions_bring_the_shape_of_slices() -> None:
    op, _, _ = _translated(_set(force2D=True, force2Ddimension=2))
    assert op.force_2d == "x"
    assert op.families == ("firstorder", "shape", "shape2D", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
    notes = _translated(json.dumps({"featureClass": {"shape2D": None, "ngtdm": None}}))[2]
    assert notes["featureClass.shape2D"][0] == "left out"


def test_settings_of_the_image_without_a_filter_go_before_those_of_all() -> None:
    text = json.dumps({"imageType": {"Original": {"binWidth": 3}}, "setting": {"binWidth": 9, "gldm_a": 2}})
    assert _translated(text)[0] == Pyradiomics(bin_width=3.0, gldm_within=2)


def test_of_filtered_images_alone_only_the_shape_is_measured() -> None:
    op, _, notes = _translated("imageType:\n  Square: {}\n")
    assert op == Pyradiomics(families=("shape",))
    assert notes["featureClass.glcm"] == ("left out", "asked for filtered images alone")
    with pytest.raises(ConfigError, match="nothing of it can be measured"):
        translate("imageType: {Square: {}}\nfeatureClass: {glcm: []}", name="p", names="medpipe")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file: expected names"),
        ("[1, 2]", "the file: expected names"),
        ("{}", "none of imageType"),
        ("settings: {}", "'settings': no part"),
        ("setting: [1]", "setting: expected names"),
        ("setting: {binWidth: wide}", "setting.binWidth: wide is no value"),
        ("setting: {binWidth: true}", "setting.binWidth"),
        ("setting: {binWidth: .nan}", "bin_width"),
        ("setting: {binWidth: -5}", "bin_width: -5.0 is not above 0"),
        ("setting: {interpolator: sitkCubic}", "setting.interpolator: sitkCubic"),
        ("setting: {interpolator: 77}", "setting.interpolator: 77"),
        ("setting: {distances: 1}", "setting.distances: 1"),
        ("setting: {distances: [1.5]}", "setting.distances"),
        ("setting: {weightingNorm: cosine}", "weighting: 'cosine'"),
        ("setting: {resampledPixelSpacing: [1, 1, 1, 1]}", "setting.resampledPixelSpacing"),
        ("setting: {force2Ddimension: 3}", "setting.force2Ddimension: 3"),
        ("imageType: {Sobel: {}}", "imageType.Sobel: no image type"),
        ("imageType: {LoG: {sigma: wide}}", "imageType.LoG"),
        ("featureClass: {textures: []}", "featureClass.textures: no feature class"),
        ("featureClass: {glcm: Contrast}", "featureClass.glcm: expected a list"),
        ("setting: {binWidth: 5, binWidth: 6}", "cannot be read as YAML or JSON (line 1)"),
        ("setting: &a {binWidth: 5}\nvoxelSetting: *a", "cannot be read as YAML or JSON (line 2)"),
        ("setting: !!python/object/apply:os.getcwd []", "cannot be read"),
        ("setting: {", "cannot be read"),
        ("setting:\n\tbinWidth: 5", "cannot be read"),
        ("a: " + "[" * 500, "cannot be read"),
        ("setting: \x00", "cannot be read"),
    ],
)
def test_what_is_no_parameter_file_is_refused_with_the_place(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        translate(text, name="params", names="medpipe")
    assert said in str(refused.value)


def test_names_and_values_of_strangers_stay_within_their_line() -> None:
    odd = 'x\nname = "other"\u2028\x1b[31m'
    text = json.dumps(
        {"setting": {odd: odd, "label": odd}, "voxelSetting": {odd: [odd]}, "featureClass": {"glcm": [odd, "Id"]}}
    )
    found = translate(text, name="params", names="medpipe")
    assert tomllib.loads(found.toml)["name"] == "params"
    head = found.toml.split("\n\n")[0].splitlines()
    assert all(line.startswith("#") and line.isprintable() for line in head)
    assert all(part.isprintable() for note in found.notes for part in note)


def test_every_setting_that_is_taken_over_is_tried_here() -> None:
    tried = {
        "normalize",
        "normalizeScale",
        "removeOutliers",
        "interpolator",
        "resampledPixelSpacing",
        "voxelArrayShift",
    }
    tried |= {"binWidth", "correctMask", "resegmentRange", "resegmentMode", "minimumROISize", "binCount", "distances"}
    tried |= {"force2D", "force2Ddimension", "resegmentShape", "minimumROIDimensions", "symmetricalGLCM"}
    assert set(SETTINGS) == tried | {"weightingNorm", "gldm_a", "padDistance"}

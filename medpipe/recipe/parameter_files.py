"""From a parameter file of pyradiomics to a recipe, with a word on each of its lines.

Such a file is YAML or JSON with the mappings ``imageType``, ``featureClass``, ``setting`` and ``voxelSetting``. What
it leaves out is at pyradiomics' default, and so is what the recipe leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import tomli_w
import yaml

from medpipe.errors import ConfigError
from medpipe.ops.extract_pyradiomics import Pyradiomics
from medpipe.ops.parameters import build, changed
from medpipe.ops.pyradiomics_columns import FEATURES, Names
from medpipe.recipe.foreign_settings import ELSEWHERE, FILTER_SETTINGS, FILTERS, SETTINGS, WITHOUT_EFFECT, Given, Taken

Outcome = Literal["taken", "no effect", "left out"]

MOST_BYTES: Final = 1 << 20
"""Of a parameter file; real ones have some thousand."""

_PARTS: Final = ("imageType", "featureClass", "setting", "voxelSetting")
_KINDS: Final = ["volume", "enhanced", "single", "planar", "multiframe", "mosaic"]
_DIFFERENT: Final = (
    "Of the standard (op ibsi) differ, whatever the settings: bins of one width begin at a multiple of it;",
    "kurtosis is not the excess; entropy and uniformity are of the histogram; axes are of a covariance",
    "divided by N; the mesh may have gaps; voxels without neighbours count in NGTDM, and directions in which",
    "the region is one voxel wide do not in GLRLM. feature_dictionary says it of each column (compliance).",
)


class Note(NamedTuple):
    """What became of an entry: its place, its value as text, and why."""

    place: str
    value: str
    outcome: Outcome
    said: str


class Translation(NamedTuple):
    """A recipe as TOML, and what became of each entry of the file."""

    toml: str
    notes: tuple[Note, ...]


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # the library has no types
    """Reads plain values; refuses a name given twice, and aliases, which can stand for more than there is memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "an alias", self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  # as the library calls it
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        if len(found) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a name given twice", node.start_mark)
        return found


def translate(text: str, *, name: str, names: Names) -> Translation:
    """Translate a parameter file.

    Parameters
    ----------
    text : str
        YAML or JSON.
    name : str
        Name of the recipe.
    names : {"medpipe", "pyradiomics"}
        How columns are named.

    Raises
    ------
    ConfigError
        If the text is no parameter file, a value cannot be one of its setting, or nothing of it can be measured; the
        message names the entry.
    """
    parts = _parts(text)
    notes: list[Note] = []
    given: dict[str, Any] = {} if names == "medpipe" else {"names": names}
    found = Given(parameters=given, regions={"op": "segmentation_objects"})
    own = _mapping(parts.get("imageType") or {"Original": {}}, "imageType")
    settings = dict(_mapping(parts.get("setting") or {}, "setting"))
    notes += _images(own if parts.get("imageType") else {}, settings)
    notes += _settings(settings, "setting", found)
    if "Original" in own:
        for_original = dict(_mapping(own["Original"] or {}, "imageType.Original"))
        notes += _settings(for_original, "imageType.Original", found)
    notes += _classes(parts.get("featureClass"), found, is_filtered="Original" not in own)
    for setting, value in _mapping(parts.get("voxelSetting") or {}, "voxelSetting").items():
        notes.append(Note(f"voxelSetting.{_line(setting)}", _shown(value), "left out", "no maps of features are made"))
    given = found.settled()
    op = build(Pyradiomics, given, "setting")
    return Translation(_recipe(name, changed(op), found.regions, notes), tuple(notes))


def _parts(text: str) -> Mapping[str, Any]:
    try:
        read = yaml.load(text, Loader=_Loader)  # noqa: S506  # a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" (line {mark.line + 1})"
        raise ConfigError(f"not a parameter file: it cannot be read as YAML or JSON{where}") from None
    parts = _mapping(read, "the file")
    for part in parts:
        if part not in _PARTS:
            raise ConfigError(f"{part!r}: no part of a parameter file (known: {', '.join(_PARTS)})")
    if not parts:
        raise ConfigError(f"not a parameter file: none of {', '.join(_PARTS)}")
    return parts


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"{where}: expected names with values")
    return value


def _images(asked: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[Note]:
    for image, given in asked.items():
        place, own = f"imageType.{image}", _mapping(given or {}, f"imageType.{image}")
        told = FILTERS.get(image)
        if told is None:
            raise ConfigError(f"{place}: no image type of pyradiomics (known: {', '.join(FILTERS)})")
        try:
            said = told({**settings, **own})
        except (TypeError, ValueError):
            raise ConfigError(f"{place}: a setting has no value that it can have") from None
        yield Note(place, _shown(dict(own)), "taken" if image == "Original" else "left out", said)


def _settings(settings: Mapping[str, Any], where: str, found: Given) -> Iterator[Note]:
    for setting, value in settings.items():
        place, shown = f"{where}.{_line(setting)}", _shown(value)
        taken = SETTINGS.get(setting)
        if taken is not None:
            yield Note(place, shown, *_taken(taken, value, place, found))
        elif setting in ELSEWHERE:
            yield Note(place, shown, "left out", ELSEWHERE[setting])
        elif setting in WITHOUT_EFFECT:
            yield Note(place, shown, "no effect", WITHOUT_EFFECT[setting])
        elif setting in FILTER_SETTINGS:
            yield Note(place, shown, "no effect", f"a setting of {FILTER_SETTINGS[setting]} images")
        else:
            yield Note(place, shown, "left out", "no setting that is known; pyradiomics 3 refuses it")


def _taken(taken: Taken, value: Any, place: str, found: Given) -> tuple[Outcome, str]:
    if value is None and taken is not SETTINGS["interpolator"]:
        return "no effect", "nothing asked for"
    try:
        said = taken(value, found)
    except (TypeError, ValueError, KeyError):
        raise ConfigError(f"{place}: {_shown(value)} is no value for it") from None
    return "taken", said


def _classes(asked: Any, found: Given, *, is_filtered: bool) -> Iterator[Note]:
    """Note the feature classes; without an unfiltered image, shape alone is measured."""
    every = [family for family in FEATURES if family != "shape2D" or found.is_flat]
    classes = _mapping(asked, "featureClass") if asked else dict.fromkeys(every)
    families, features = [], []
    for family, listed in classes.items():
        place = f"featureClass.{family}"
        known = next((one for one in FEATURES if one == family), None)
        if known is None:
            raise ConfigError(f"{place}: no feature class of pyradiomics (known: {', '.join(FEATURES)})")
        if listed is not None and not (isinstance(listed, list) and all(isinstance(one, str) for one in listed)):
            raise ConfigError(f"{place}: expected a list of features, or nothing for all")
        if is_filtered and not known.startswith("shape"):
            yield Note(place, _shown(listed), "left out", "asked for filtered images alone")
            continue
        if known == "shape2D" and not found.is_flat:
            yield Note(place, _shown(listed), "left out", "measured with force2D alone")
            continue
        there = {feature.name for feature in FEATURES[known]}
        for feature in [one for one in listed or () if one not in there]:
            yield Note(f"{place}.{_line(feature)}", "", "left out", "no feature of 3.0.1, or withdrawn from it")
        kept = [one for one in listed or () if one in there]
        if listed and not kept:
            continue
        families.append(known)
        features += [f"{known}_{one}" for one in kept]
        if asked:
            yield Note(place, _shown(listed), "taken", f"{len(kept) or 'all'} of {len(there)} features")
    if not families:
        raise ConfigError("featureClass: nothing of it can be measured on images without a filter")
    # in any order they are the same classes
    found.parameters["families"] = [family for family in FEATURES if family in families]
    if features:
        found.parameters["features"] = features


def _recipe(name: str, parameters: Mapping[str, Any], regions: Mapping[str, Any], notes: list[Note]) -> str:
    lines = ["# Translated from a parameter file of pyradiomics. What became of its entries:"]
    for note in notes:
        value = f" = {note.value}" if note.value else ""
        lines.append(f"# {note.place}{value}: {note.outcome}: {note.said}")
    lines += ["#", *(f"# {line}" for line in _DIFFERENT), ""]
    extraction = {"name": "pyradiomics", "op": "pyradiomics", **parameters}
    route = {"name": "image", "where": {"kind": _KINDS}, "regions": [dict(regions)], "features": [extraction]}
    tables = {"name": name, "description": "Features of masks as pyradiomics has them", "route": [route]}
    return "\n".join(lines) + "\n" + tomli_w.dumps(tables)


def _shown(value: Any) -> str:
    """Return a value as a line of text, or nothing for none."""
    if value is None or value in ({}, []):
        return ""
    return _line(str(value))


def _line(text: str) -> str:
    """Return text of the file as one line: names may hold anything, line ends too."""
    text = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    return text if len(text) <= 80 else f"{text[:77]}..."

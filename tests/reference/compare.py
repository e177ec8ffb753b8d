"""A lake against the answers of independent readers, field by field.

Nothing here names a file: what must hold follows from what the readers said of it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tests.reference.answers import CODES, OUTCOMES, PLACED, SURE, Answers
from tests.reference.frames import is_called_lossy, places_wrong, planes_wrong
from tests.reference.published import Published

_MOST_CORNER_MM = 1e-4
_ROUNDING_MM = 5e-6
_MOST_GREY_LEVELS = 3.0
_UNITS = {"HU": "HU", "BQML": "BQML", "GML": "SUV"}


class Check(NamedTuple):
    """One comparison: a subject, what of it, what the readers say, what the lake says."""

    subject: str
    kind: str
    field: str
    wanted: str
    found: str

    @property
    def differs(self) -> bool:
        """Whether the two are not the same."""
        return self.wanted != self.found


def compare(answers: Answers, published: Published) -> list[Check]:
    """Return all comparisons of a lake with the answers, of stacks and of files."""
    return [*_stacks(answers, published), *_files(answers, published)]


def table(checks: list[Check]) -> str:
    """Return what differs, a line each, and then how many were compared of every kind and field."""
    rows = [check for check in checks if check.differs]
    lines = [f"{row.subject}  {row.kind}  {row.field}: {row.wanted} expected, {row.found} found" for row in rows]
    compared = Counter((check.kind, check.field) for check in checks)
    different = Counter((row.kind, row.field) for row in rows)
    width = max((len(f"{kind} {field}") for kind, field in compared), default=0)
    lines += ["", f"{'what':{width}}  compared  differ"]
    for (kind, field), count in sorted(compared.items()):
        lines.append(f"{f'{kind} {field}':{width}}  {count:8}  {different[kind, field]:6}")
    return "\n".join([*lines, f"{len(rows)} of {len(checks)} differ"])


# stacks -------------------------------------------------------------------------------------


def _stacks(answers: Answers, published: Published) -> Iterator[Check]:
    for entry in answers.sure:
        paths = {*entry["files"], *entry["copies"]}
        keys = set().union(*(published.volumes_of.get(path, set()) for path in paths))
        yield Check(entry["id"], entry["kind"], "volumes", "1", str(len(keys)))
        if len(keys) == 1:
            volume = published.volumes[keys.pop()]
            for field, wanted, found in _stack(answers, entry, published, volume):
                yield Check(entry["id"], entry["kind"], field, str(wanted), str(found))


def _stack(
    answers: Answers, entry: dict[str, Any], published: Published, volume: dict[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    kind = entry["kind"]
    yield "kind", kind, volume["kind"]
    yield "axes", _axes(entry), volume["axes"]
    yield "unit", _UNITS.get(entry["unit"], "arbitrary"), volume["unit"]
    # the answers speak of the encoding; what was lossy once stays so in whatever encoding, and the header says it
    said = any(is_called_lossy(answers.root / path) for path in entry["files"])
    yield "lossy", bool(entry["lossy"]) or said, volume["lossy"]
    yield "uneven or missing", bool(entry.get("slice_gaps")), volume["verdict"] in {"uneven", "missing_slices"}
    yield "tilt", _tilt(entry.get("shear_deg")), _tilt(volume["tilt_deg"])
    if volume["store"] is None:
        yield "stored", "yes", volume["code"]
        return
    array, how = published.array(volume)
    if volume["axes"] == "czyx":
        array = np.moveaxis(array, 0, -1)
    yield "shape", entry["shape"], list(array.shape)
    if list(array.shape) != entry["shape"]:
        return
    yield from _values(entry, array)
    if kind in PLACED and entry.get("affine_lps"):
        yield "corners, table", "within 1e-4 mm", _corners(entry, volume["affine_lps"], rounded=True)
        yield "corners, store", "within 1e-4 mm", _corners(entry, how["affine_lps"], rounded=False)
        yield "spacing", "within 1e-4 mm", _close(_spacing(entry), volume["spacing_mm"], _MOST_CORNER_MM)
    yield from _members(answers, entry, published.members[volume["volume_key"]], array, how)


def _values(entry: dict[str, Any], array: np.ndarray) -> Iterator[tuple[str, Any, Any]]:
    exact = bool(entry.get("sha256_f4"))
    if exact:
        yield "voxels", entry["sha256_f4"][:12], hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:12]
    wide = array.astype("f8")
    found = {"min": wide.min(), "max": wide.max(), "mean": wide.mean(), "std": wide.std()}
    for name, value in found.items():
        # codecs may differ by a grey level or two where a stream was lossy
        most = 1e-4 * max(1.0, abs(entry[name])) if exact else _MOST_GREY_LEVELS
        close = bool(abs(value - entry[name]) <= most)
        yield name, "the same", "the same" if close else f"{value:.6g} for {entry[name]:.6g}"


def _members(
    answers: Answers, entry: dict[str, Any], places: list[tuple[str, int]], array: np.ndarray, how: dict[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    kind, files = entry["kind"], entry["files"]
    if kind in PLACED and kind != "enhanced" and not entry["copies"]:
        # t outer, z inner; a copy may stand for its image, which the pixels below tell
        yield "members, order", "as listed", "as listed" if [path for path, _ in places] == files else "another order"
    if kind in PLACED - {"single"} and not entry["lossy"]:
        yield "members, pixels", 0, planes_wrong(answers.root, places, array, kind)
        yield "members, positions", 0, places_wrong(answers.root, places, array.shape, how, kind)


def _axes(entry: dict[str, Any]) -> str:
    if entry["kind"] == "colour":
        return "czyx"
    return "".join(name for name in entry["axes"].split(",") if name in {"t", "z", "y", "x"}).rjust(3, "z")


def _tilt(degrees: float | None) -> str:
    return "none" if not degrees else f"{degrees:.1f} degrees"


def _spacing(entry: dict[str, Any]) -> list[float]:
    columns = np.array(entry["affine_lps"])[:3, :3]
    along_x, along_y, along_z = columns.T
    normal = np.cross(along_x, along_y)
    return [
        abs(along_z @ normal) / np.linalg.norm(normal),
        float(np.linalg.norm(along_y)),
        float(np.linalg.norm(along_x)),
    ]


def _close(wanted: list[float], found: list[float] | None, most: float) -> str:
    if found is None:
        return "none"
    error = float(np.abs(np.subtract(wanted, found)).max())
    return "within 1e-4 mm" if error <= most else f"{error:.3g} mm off"


def _corners(entry: dict[str, Any], affine: list[float] | None, *, rounded: bool) -> str:
    if affine is None:
        return "none"
    last = np.array(entry["shape"][-3:])[::-1] - 1
    corners = np.array([[i, j, k, 1] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])], float).T
    off = np.abs((np.array(entry["affine_lps"]) - np.array(affine).reshape(4, 4)) @ corners).max()
    # the answers have five decimals: what that alone moves a far corner by is none of the lake's, unless it rounds too
    most = _MOST_CORNER_MM + (0.0 if rounded else _ROUNDING_MM * (last.sum() + 1))
    return "within 1e-4 mm" if off <= most else f"{off:.3g} mm off"


# files --------------------------------------------------------------------------------------


def _files(answers: Answers, published: Published) -> Iterator[Check]:
    sure = {entry["id"] for entry in answers.sure}
    verdicts = {entry["id"]: entry.get("verdict") for entry in answers.stacks}
    encodings: dict[str, list[tuple[str, str]]] = {}
    for file in answers.files:
        row = published.instances.get(file["path"])
        yield Check(file["path"], "file", "rows", "1", "0" if row is None else "1")
        if row is None:
            continue
        kind, entry = file["class"], file["expected_id"]
        if kind in {"image", "re-encoded copy"}:
            encodings.setdefault(entry, []).append((kind, row["outcome"]))
            if entry not in sure and row["outcome"] == "quarantined":
                # no two readers agree on it: to refuse it with a code is as right as to read it
                said = verdicts.get(entry) or "unreadable"
                yield Check(file["path"], f"file of a stack with verdict '{said}'", "code", "some", _some(row["code"]))
        elif file["path"] not in answers.rejects or row["outcome"] != "quarantined":
            yield Check(file["path"], kind, "outcome", _any(OUTCOMES[kind]), row["outcome"])
        else:
            yield Check(file["path"], kind, "code", *_fitting(CODES[kind], row["code"]))
    yield from _copies(sure, encodings)
    known = {file["path"] for file in answers.files}
    yield Check("archive", "file", "unknown", "0", str(len(published.instances.keys() - known)))


def _copies(sure: set[str], encodings: dict[str, list[tuple[str, str]]]) -> Iterator[Check]:
    for entry, found in sorted(encodings.items()):
        if entry not in sure:
            continue
        # which of several encodings is read is the lake's to choose; as many are as there are images
        images = sum(kind == "image" for kind, _ in found)
        outcomes = Counter(outcome for _, outcome in found)
        wanted = {"used": images, "duplicate": len(found) - images}
        told = {name: outcomes.get(name, 0) for name in (*wanted, *sorted(outcomes.keys() - wanted.keys()))}
        yield Check(entry, "files of a stack", "outcomes", str(wanted), str(told))


def _fitting(codes: set[str], code: str | None) -> tuple[str, str]:
    wanted = _any(codes)
    return wanted, wanted if code in codes else str(code)


def _some(code: str | None) -> str:
    return "some" if code else "none"


def _any(words: set[str]) -> str:
    return " or ".join(sorted(words))


def confirmed_kinds(answers: Answers) -> Counter[str]:
    """Return how many stacks of each kind are compared."""
    return Counter(entry["kind"] for entry in answers.stacks if entry.get("verdict") in SURE)

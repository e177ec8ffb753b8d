"""Faults of place: gaps, steps, tilt, directions, spacing."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from tests.faults.edits import anywhere, edited, garbled, inner, moved, one_refused, planted
from tests.faults.registry import STACKED, fault, named
from tests.faults.series import Series, decimals, make_series, uid
from tests.faults.verdicts import Check, Found, Planted, flagged, is_volume, refused, split_off, tells_strays, without

PLACED = (*STACKED, "enhanced")


@fault("one slice missing", *PLACED)
def one_missing(series: Series, rng: np.random.Generator) -> Planted:
    gone = inner(series, rng)
    return planted(_taken(series, gone), rng, _gap(series, gone))


@fault("two slices missing at two places", *PLACED)
def two_missing(series: Series, rng: np.random.Generator) -> Planted:
    gone = inner(series, rng, 2)
    return planted(_taken(series, gone), rng, _gap(series, gone))


@fault("a run of slices missing", *PLACED)
def run_missing(series: Series, rng: np.random.Generator) -> Planted:
    first = int(rng.integers(2, len(series) - 4))
    gone = list(range(first, first + int(rng.integers(2, 4))))
    return planted(_taken(series, gone), rng, _gap(series, gone))


@fault("every other slice missing in a part of the stack", *PLACED)
def sparse_part(series: Series, rng: np.random.Generator) -> Planted:
    gone = list(range(1, len(series) - 2, 2))
    return planted(_taken(series, gone), rng, _gap(series, gone))


@fault("one of four slices missing", *PLACED)
def one_of_four(series: Series, rng: np.random.Generator) -> Planted:
    gone = [int(rng.integers(1, 3)), *range(4, len(series))]
    return planted(_taken(series, gone), rng, _gap(series, gone))


@fault("a slice missing of a tilted stack", *PLACED)
def tilted_gap(series: Series, rng: np.random.Generator) -> Planted:
    gone = inner(series, rng)
    sheared, tilt_deg = _sheared(series, rng)
    rest = _gap(sheared, gone)
    return planted(_taken(sheared, gone), rng, lambda found: rest(found) and _tells_tilt(found, tilt_deg))


@fault("tilted gantry", *PLACED)
def tilted(series: Series, rng: np.random.Generator) -> Planted:
    sheared, tilt_deg = _sheared(series, rng)
    whole = flagged(sheared, "W_TILTED", verdict="tilted")
    return planted(sheared, rng, lambda found: whole(found) and _tells_tilt(found, tilt_deg))


@fault("one slice off its place along the normal", *PLACED)
def uneven(series: Series, rng: np.random.Generator) -> Planted:
    places = series.places.copy()
    part = float(rng.uniform(0.1, 0.4)) * float(rng.choice([-1, 1]))
    places[inner(series, rng)[0]] += part * series.spacing_mm[0] * series.turn[2]
    changed = moved(series, places)
    return planted(changed, rng, _uneven(changed))


@fault("steps that grow", *PLACED)
def growing(series: Series, rng: np.random.Generator) -> Planted:
    growth = np.cumsum(1 + float(rng.uniform(0.05, 0.2)) * np.arange(len(series)))
    places = series.places[0] + (growth - growth[0])[:, None] * series.spacing_mm[0] * series.turn[2]
    changed = moved(series, places)
    return planted(changed, rng, _uneven(changed))


@fault("thick slices after thin ones")
def two_thicknesses(series: Series, rng: np.random.Generator) -> Planted:
    n, thin = len(series), int(rng.integers(3, len(series) - 3))
    steps = np.array([0, *(1 if k < thin else 2 for k in range(1, n))], dtype=float)
    places = series.places[0] + np.cumsum(steps)[:, None] * series.spacing_mm[0] * series.turn[2]
    changed = edited(moved(series, places), range(thin, n), SliceThickness=f"{2 * series.spacing_mm[0]:.6g}")
    return planted(changed, rng, _uneven(changed))


@fault("one slice off its place sideways", *PLACED)
def sideways(series: Series, rng: np.random.Generator) -> Planted:
    places = series.places.copy()
    shift_mm = float(rng.uniform(0.7, 4)) * max(series.spacing_mm[1:])
    places[inner(series, rng)[0]] += shift_mm * series.turn[int(rng.integers(2))]
    return planted(moved(series, places), rng, refused("E_MIXED_SERIES"))


@fault("a slice at its neighbour's place", *PLACED)
def same_place(series: Series, rng: np.random.Generator) -> Planted:
    places, index = series.places.copy(), inner(series, rng)[0]
    places[index] = places[index - 1]
    return planted(moved(series, places), rng, refused("E_REPEATED_POSITIONS"))


@fault("all slices at one place")
def one_place(series: Series, rng: np.random.Generator) -> Planted:
    places = np.repeat(series.places[:1], len(series), axis=0)

    def check(found: Found) -> bool:
        return len(found.stacks) == 1 and found.stacks[0].code == "W_UNTIMED" and len(found.volumes) == 1

    return planted(moved(series, places), rng, check)


@fault("a slice without position")
def lost_position(series: Series, rng: np.random.Generator) -> Planted:
    return one_refused(series, rng, "E_MISSING_TAG", ImagePositionPatient=None)


@fault("a position of two numbers and a word")
def unreadable_position(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    changed = edited(series, [index], ImagePositionPatient=["1.25", "2.75", "33333.5"])
    files = garbled(named(changed, rng), b"33333.5", b"thirty ")
    return Planted(files, without(series, [index], "E_MISSING_TAG"))


@fault("the first or last slice without position")
def lost_end(series: Series, rng: np.random.Generator) -> Planted:
    index = _end(series, rng)
    changed = edited(series, [index], ImagePositionPatient=None)
    return planted(changed, rng, without(series, [index], "E_MISSING_TAG", apart=tells_strays))


@fault("a position of two numbers and a word in the first or last slice")
def unreadable_end(series: Series, rng: np.random.Generator) -> Planted:
    index = _end(series, rng)
    changed = edited(series, [index], ImagePositionPatient=["1.25", "2.75", "33333.5"])
    files = garbled(named(changed, rng), b"33333.5", b"thirty ")
    return Planted(files, without(series, [index], "E_MISSING_TAG", apart=tells_strays))


@fault("the first or last slice in another frame of reference")
def strange_end(series: Series, rng: np.random.Generator) -> Planted:
    index = _end(series, rng)
    changed = edited(series, [index], FrameOfReferenceUID=uid("another", series.seed))
    rest = split_off(series, (series, [index]))
    return planted(changed, rng, lambda found: rest(found) and tells_strays(found))


@fault("no orientation in one slice")
def lost_orientation(series: Series, rng: np.random.Generator) -> Planted:
    return one_refused(series, rng, "E_MISSING_TAG", ImageOrientationPatient=None)


@fault("no orientation at all")
def no_orientation(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, ImageOrientationPatient=None), rng, refused("E_MISSING_TAG"))


@fault("an orientation of five numbers")
def short_orientation(series: Series, rng: np.random.Generator) -> Planted:
    return one_refused(series, rng, "E_ORIENTATION", ImageOrientationPatient=decimals(series.turn[:2].ravel()[:5]))


@fault("directions that are no unit vectors at right angles")
def bent_orientation(series: Series, rng: np.random.Generator) -> Planted:
    bent = series.turn[:2].copy()
    if rng.integers(2):
        bent[0] *= float(rng.uniform(1.01, 2))
    else:
        bent[1] += float(rng.uniform(0.01, 0.5)) * bent[0]
    changed = edited(series, ImageOrientationPatient=decimals(bent.ravel()))
    return planted(changed, rng, refused("E_ORIENTATION"))


@fault("directions of length zero")
def no_directions(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, ImageOrientationPatient=["0"] * 6), rng, refused("E_ORIENTATION"))


@fault("slices of another direction among them")
def mixed_orientation(series: Series, rng: np.random.Generator) -> Planted:
    other = make_series(series.kind, series.seed)
    turn = np.round((Rotation.from_euler("xyz", rng.uniform(20, 70, 3), degrees=True).as_matrix() @ series.turn.T).T, 9)
    places = series.places[0] + np.arange(len(series))[:, None] * series.spacing_mm[0] * turn[2]
    other = moved(other.changed(turn=turn, places=places), places)
    for index, dataset in enumerate(other.files):
        dataset.ImageOrientationPatient = decimals(turn[:2].ravel())
        dataset.SOPInstanceUID += f".{index}"
    both = series.changed()
    both.files.extend(other.files)

    def check(found: Found) -> bool:
        whole = len(found.stacks) == len(found.volumes) == 2
        return whole and all(any(is_volume(*one, each) for one in found.volumes) for each in (series, other))

    return planted(both, rng, check)


@fault("one slice seen from the other side")
def turned_over(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    turn = series.turn * np.array([[-1], [1], [-1]])
    changed = edited(series, [index], ImageOrientationPatient=decimals(turn[:2].ravel()))
    return planted(changed, rng, split_off(series, (series.changed(turn=turn), [index])))


@fault("spacing swapped in one slice")
def swapped_spacing(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    step, row_mm, column_mm = series.spacing_mm
    changed = edited(series, [index], PixelSpacing=decimals((column_mm, row_mm)))
    other = series.changed(spacing_mm=(step, column_mm, row_mm))
    return planted(changed, rng, split_off(series, (other, [index])))


@fault("spacing that no image has")
def impossible_spacing(series: Series, rng: np.random.Generator) -> Planted:
    wrong = [["0", "0.5"], ["-0.7", "-0.7"], ["1e300", "1e300"], ["0.5"], ["1e-12", "1e-12"]][int(rng.integers(5))]
    return planted(edited(series, PixelSpacing=wrong), rng, refused("E_SPACING"))


@fault("no spacing")
def no_spacing(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, PixelSpacing=None), rng, refused("E_SPACING"))


@fault("spacing with a comma")
def comma_spacing(series: Series, rng: np.random.Generator) -> Planted:
    files = named(edited(series, PixelSpacing=["0.75", "0.875"]), rng)
    return Planted(garbled(files, b"0.75\\0.875", b"0,75\\0,875"), refused("E_SPACING"))


@fault("slices of another frame of reference among them")
def two_references(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    changed = edited(series, [index], FrameOfReferenceUID="1.2.3.4")
    return planted(changed, rng, split_off(series, (series, [index])))


@fault("a position far away in one slice", *PLACED)
def far_away(series: Series, rng: np.random.Generator) -> Planted:
    places = series.places.copy()
    places[-1] = places[-1] + float(rng.uniform(5, 90)) * series.spacing_mm[0] * series.turn[2]
    changed = moved(series, places)

    def check(found: Found) -> bool:
        told = [stack.code for stack in found.stacks] in (["E_GAP"], ["W_UNEVEN"])
        return told and len(found.volumes) == 1 and is_volume(*found.volumes[0], changed)

    return planted(changed, rng, check)


def _taken(series: Series, gone: list[int]) -> Series:
    changed = series.changed()
    if series.kind != "enhanced":
        changed.files[:] = [dataset for index, dataset in enumerate(changed.files) if index not in gone]
        for dataset in changed.files:
            if "NumberOfSlices" in dataset:
                dataset.NumberOfSlices = len(changed.files)
        return changed
    kept = [index for index in range(len(series)) if index not in gone]
    dataset = changed.files[0]
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    dataset.PerFrameFunctionalGroupsSequence = [groups[index] for index in kept]
    dataset.NumberOfFrames, dataset.PixelData = len(kept), series.stored[kept].tobytes()
    return changed


def _gap(series: Series, gone: list[int]) -> Check:
    return without(series, gone)


def _sheared(series: Series, rng: np.random.Generator) -> tuple[Series, float]:
    # less than half a pixel from end to end is no tilt
    least_deg = np.rad2deg(np.arctan(0.7 * max(series.spacing_mm[1:]) / (series.spacing_mm[0] * (len(series) - 1))))
    tilt_deg = float(rng.uniform(least_deg, max(32, least_deg))) * float(rng.choice([-1, 1]))
    drift = np.arange(len(series))[:, None] * np.tan(np.deg2rad(tilt_deg)) * series.spacing_mm[0]
    return moved(series, series.places + drift * series.turn[int(rng.integers(2))]), abs(tilt_deg)


def _tells_tilt(found: Found, tilt_deg: float) -> bool:
    (stack,) = found.stacks
    told = "W_TILTED" in stack.flags and stack.tilt_deg is not None
    return told and abs(stack.tilt_deg - tilt_deg) < 0.01


def _uneven(series: Series) -> Check:
    whole = flagged(series, "W_UNEVEN", verdict="uneven")

    def check(found: Found) -> bool:
        if not whole(found):
            return False
        positions = found.stacks[0].slice_positions_mm
        return positions is not None and np.allclose(positions, series.along_mm, atol=1e-3)

    return check


def _end(series: Series, rng: np.random.Generator) -> int:
    return int(rng.choice([0, len(series) - 1]))

"""Features of one region beside the libraries of the field, each in its own process and interpreter.

The libraries are not among the locked requirements: ``MEDPIPE_BENCH_PYRADIOMICS``,
``MEDPIPE_BENCH_NYXUS`` and ``MEDPIPE_BENCH_MIRP`` name interpreters that have them. Both sides
compute the same features of the same levels, and all values that the table of exceptions does not
name agree to 1e-6, in every round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from medpipe.kernels import glcm, glrlm, neighbours, zones
from medpipe.kernels.ranks import ranks_of
from medpipe.ops.extract_ibsi import Ibsi
from medpipe.ops.registry import make, registered
from medpipe.types import Geometry, Region, Volume
from tests.bench.headers import archive_root
from tests.bench.paired import Bench, Skipped
from tests.bench.peers import Peer, interpreter_of, peer
from tests.bench.radiomics import BOXES, subject_of

BINS = 32

ELLIPSOIDS = (*BOXES, (107, 133, 134))
"""Boxes whose ellipsoids hold about 1e3, 1e4, 1e5 and 1e6 voxels."""

WHOLE_SET = (
    "statistics", "morphology", "local_intensity", "intensity_histogram", "intensity_volume_histogram",
    "glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm",
)  # fmt: skip

TOLERANCE = 1e-6

# MIRP samples the pairs of a large region, goes on beyond the image with its edge, and takes the area
# of a spheroid from another formula than that of the standard's reference values
OF_ITS_OWN = frozenset({"morph_moran_i", "morph_geary_c", "loc_peak_loc", "loc_peak_glob", "morph_area_dens_aee"})

# its statistics are of float32, and NIfTI holds spacings in float32
MIRP_TOLERANCE = 2e-6


class Case(NamedTuple):
    """A region to measure: how it is called, and how many levels it gets."""

    name: str
    volume: Volume
    region: Region
    bins: int = BINS


def benches(folder: Path) -> Iterator[Bench | Skipped]:
    """Yield the comparisons with each library that there is an interpreter for."""
    for library, of_library in (("pyradiomics", _pyradiomics), ("nyxus", _nyxus), ("mirp", _mirp)):
        if not interpreter_of(library):
            yield Skipped(subject=f"features, {library}", reason=f"MEDPIPE_BENCH_{library.upper()} names no Python")
            continue
        with peer(library, folder) as other:
            yield from of_library(other)


def _pyradiomics(other: Peer) -> Iterator[Bench | Skipped]:
    """All 107 features by its definitions: the whole path from the volume and the mask."""
    if "pyradiomics" not in registered("features"):
        yield Skipped(subject="features, pyradiomics", reason="no extractor has its definitions")
        return
    cases = [Case("ellipsoid", *subject_of(box)) for box in ELLIPSOIDS]
    cases += [*_brain(), Case("ellipsoid", *subject_of(ELLIPSOIDS[2]), 256)]
    for case in cases:
        op = make("features", {"op": "pyradiomics", "bins": case.bins, "names": "pyradiomics"}, "bench")
        asked = {"features": {name: [] for name in op.families}}
        yield _bench(other, case, "107 features", lambda op=op, case=case: op(case.volume, case.region), asked=asked)


def _mirp(other: Peer) -> Iterator[Bench]:
    """The whole set of the standard in space, averaged and merged."""
    op = Ibsi(families=WHOLE_SET, bins=BINS, ivh_bins=1000)
    for box in ELLIPSOIDS[1:3]:
        volume, region = subject_of(box)
        # it rounds what it takes for CT
        case = Case("ellipsoid", Volume(data=np.rint(volume.data), geometry=volume.geometry), region)
        yield _bench(
            other,
            case,
            "whole set",
            lambda op=op, case=case: op(case.volume, case.region),
            rounds=2,
            tolerance=MIRP_TOLERANCE,
        )


def _nyxus(other: Peer) -> Iterator[Bench]:
    """Texture of levels that are made already; it reads them from a file."""
    for box in ELLIPSOIDS[1:]:
        volume, region = subject_of(box)
        levels = np.random.default_rng(3).integers(1, BINS + 1, volume.data.shape).astype(np.float32)
        case = Case("ellipsoid", Volume(data=levels, geometry=volume.geometry), region)
        yield _bench(other, case, "texture", _texture_of(levels, region))


def _texture_of(levels: np.ndarray, region: Region) -> Callable[[], dict[str, float]]:
    mask = region.bits.inside
    inside = np.where(mask, levels[region.bits.box], 0).astype(np.uint16)

    def work() -> dict[str, float]:
        ranks = ranks_of(inside)
        around = neighbours.neighbour_features(ranks, ways=("3D",))
        found = {
            "cm": glcm.glcm_features(ranks, aggregations=("3D_avg",))["3D_avg"],
            "rlm": glrlm.glrlm_features(ranks, aggregations=("3D_avg",))["3D_avg"],
            "szm": zones.zone_features(ranks, mask, ways=("3D",)).size["3D"],
            "ngt": around.tone["3D"],
            "ngl": around.dependence["3D"],
        }
        return {f"{family}_{name}": value for family, some in found.items() for name, value in some.items()}

    return work


def _brain() -> Iterator[Case]:
    """Yield a real lesion in a whole image, where the reference data are."""
    archive = archive_root()
    paths = [] if archive is None else [archive.parent / f"radiomics/brain1_{kind}.nrrd" for kind in ("image", "label")]
    if not paths or not all(path.is_file() for path in paths):
        return
    image, label = (sitk.ReadImage(str(path)) for path in paths)
    data = sitk.GetArrayFromImage(image).astype(np.float32)
    geometry = Geometry(shape=data.shape, spacing_mm=tuple(image.GetSpacing()[::-1]))
    region = Region(mask=sitk.GetArrayFromImage(label) > 0, name="lesion")
    yield Case("brain1", Volume(data=data, geometry=geometry), region)


def _bench(
    other: Peer,
    case: Case,
    what: str,
    ours: Callable[[], Mapping[str, float]],
    *,
    asked: Mapping[str, object] | None = None,
    rounds: int | None = None,
    tolerance: float = TOLERANCE,
) -> Bench:
    library = other.process.args[-1]
    spacing_mm = list(case.volume.geometry.spacing_mm)
    other.give(case.volume.data, case.region.mask, spacing_mm=spacing_mm, bins=case.bins, **(asked or {}))
    n_voxels = case.region.bits.n_voxels
    names = COMMON[library]
    return Bench(
        subject=f"{what}, {case.bins} bins",
        size=f"{case.name}, {n_voxels} voxels",
        ours=ours,
        peer=library,
        theirs=other.run,
        difference=lambda mine, theirs: largest_difference(mine, theirs, names),
        tolerance=tolerance,
        clock=other.clock,
        rounds=rounds,
        remark=lambda mine, theirs: f"{len(names(mine, theirs))} of {len(mine)} compared",
    )


def largest_difference(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    names: Callable[[Mapping[str, float], Mapping[str, float]], Mapping[str, str]],
) -> float:
    """Return the largest relative difference of the features that both sides mean the same by."""
    pairs = names(ours, theirs)
    return max((_relative(ours[mine], theirs[other]) for mine, other in pairs.items()), default=math.inf)


def _relative(one: float, other: float) -> float:
    if math.isnan(one) or math.isnan(other):
        return 0.0 if math.isnan(one) and math.isnan(other) else math.inf
    return abs(one - other) / max(abs(one), abs(other), 1e-9)


def of_pyradiomics(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, str]:
    """Return the columns of both sides that are the same: all of ours."""
    return {name: name.removeprefix("original_") for name in ours}


def of_mirp(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, str]:
    """Return the columns of both sides that are the same; MIRP's tell more of how they were made."""
    plain = {}
    for name in theirs:
        short = name.removesuffix(f"_fbn_n{BINS}").replace("_d1", "").replace("_a0.0", "")
        plain[short.replace("_3d_avg", "_3D_avg").replace("_3d_v_mrg", "_3D_comb").replace("_3d", "_3D")] = name
    return {name: plain[name] for name in ours if name in plain and name not in OF_ITS_OWN}


_NYXUS = """
cm GLCM auto_corr ACOR clust_prom CLUPROM clust_shade CLUSHADE clust_tend CLUTEND contrast CONTRAST corr CORRELATION
cm GLCM diff_avg DIFAVE diff_var DIFVAR dissimilarity DIS energy ASM inv_diff ID inv_diff_mom IDM
cm GLCM inv_diff_norm IDN inv_diff_mom_norm IDMN inv_var IV
cm GLCM joint_avg JAVE joint_max JMAX joint_var JVAR sum_avg SUMAVERAGE sum_var SUMVARIANCE
rlm GLRLM sre SRE lre LRE lgre LGLRE hgre HGLRE srlge SRLGLE srhge SRHGLE lrlge LRLGLE lrhge LRHGLE
rlm GLRLM glnu GLN glnu_norm GLNN rlnu RLN rlnu_norm RLNN r_perc RP gl_var GLV rl_var RV
szm GLSZM sze SAE lze LAE lgze LGLZE hgze HGLZE szlge SALGLE szhge SAHGLE lzlge LALGLE lzhge LAHGLE
szm GLSZM glnu GLN glnu_norm GLNN zsnu SZN zsnu_norm SZNN z_perc ZP gl_var GLV zs_var ZV
ngl GLDM lde SDE hde LDE glnu GLN dcnu DN dcnu_norm DNN gl_var GLV dc_var DV
ngl GLDM lgce LGLE hgce HGLE ldlge SDLGLE ldhge SDHGLE hdlge LDLGLE hdhge LDHGLE
"""


def of_nyxus(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, str]:
    """Return the columns of both sides that are the same.

    Its tone differences came back as 0; its entropies, and what is made of them, have a term of their own in the
    logarithm.
    """
    found = {}
    for line in _NYXUS.strip().splitlines():
        prefix, family, *words = line.split()
        ending = "_AVE" if family in ("GLCM", "GLRLM") else ""
        pairs = zip(words[::2], words[1::2], strict=True)
        found |= {f"{prefix}_{mine}": f"3{family}_{other}{ending}" for mine, other in pairs}
    return found


COMMON = {"pyradiomics": of_pyradiomics, "mirp": of_mirp, "nyxus": of_nyxus}
"""By library, which columns of both sides mean the same."""

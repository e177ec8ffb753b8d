"""Before a run: what was asked for, checked; the archive scanned; the plan's inputs opened."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medpipe.app.archives import check_archives
from medpipe.app.away import Away
from medpipe.app.conditions import conditions_of
from medpipe.app.index import LakeIndex
from medpipe.app.lakes import open_or_create
from medpipe.app.listing import Settled
from medpipe.app.models import check_models, resolver
from medpipe.app.planning import PlanWriter, RangePlans
from medpipe.app.progress import Progress
from medpipe.app.scan import ScanReport, scan_into
from medpipe.app.select import Wish, check_condition, chosen_volumes
from medpipe.app.site import Site
from medpipe.engine.numeric import numeric_class, sandbox_class
from medpipe.errors import ConfigError, LakeError
from medpipe.lake.lake import Lake
from medpipe.lake.publication import read_ranges
from medpipe.lake.results import Results
from medpipe.lake.runs import Run, run_names
from medpipe.plan.cases import Planner, Terms
from medpipe.plan.changes import recipe_changes
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.privacy.secret import Secret, load_secret
from medpipe.reasons import REASONS
from medpipe.recipe.lock import LockedRecipe, lock_recipe
from medpipe.recipe.recipe import load_recipe, shipped_recipes
from medpipe.xp import cuda_class, resolve_device


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What to run over what, into which lake.

    Attributes
    ----------
    recipe : str
        Recipe file or the name of a shipped one.
    archives : tuple of Path
    lake : Path
    site : Site
    only : str or None
        SQL condition on the index table ``volumes`` (joined with ``series``).
    sample : int or None
        So many volumes the recipe takes, the same ones each time.
    limit : int or None
        At most so many volumes, in the order of their keys.
    retry : tuple of str
        Reason codes whose cases run again although they ended so before: after a limit was
        raised, or a codec installed.
    accept_deletions : bool
        Take files out of the index although a large share of the archive is gone.
    settled : callable or None
        Tells of an archive's folder and a new or changed file in it whether that is complete;
        others are left for another run.
    """

    recipe: str
    archives: tuple[Path, ...]
    lake: Path
    site: Site = field(default_factory=Site)
    only: str | None = None
    sample: int | None = None
    limit: int | None = None
    retry: tuple[str, ...] = ()
    accept_deletions: bool = False
    settled: Settled | None = None

    @property
    def wish(self) -> Wish:
        """Which part of the volumes is asked for."""
        return Wish(only=self.only, sample=self.sample, limit=self.limit)

    def kept(self) -> dict[str, Any]:
        """Return what ``medpipe retry`` needs to ask for the same again."""
        return {
            "recipe": self.recipe if self.recipe in shipped_recipes() else str(Path(self.recipe).absolute()),
            "archives": [str(archive.absolute()) for archive in self.archives],
            "only": self.only,
            "sample": self.sample,
            "limit": self.limit,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A lake open for a run, and where its arithmetic is done."""

    lake: Lake
    secret: Secret
    device: str
    numeric_class: str


def prepare(request: RunRequest, progress: Progress) -> tuple[LockedRecipe, Prepared]:
    """Check everything that was asked for, before anything is written."""
    recipe = load_recipe(request.recipe)
    check_archives(request.archives, request.lake)
    for code in request.retry:
        if code not in REASONS:
            raise ConfigError(f"--retry: {code!r} is no reason code (they are in docs/reference/reasons.md)")
    if request.only is not None:
        check_condition(request.only)
    device = resolve_device(request.site.device)
    check_models(recipe, request.lake)
    lake, secret = open_or_create(request.lake, request.site, progress)
    on_cpu = sandbox_class() if request.site.engine == "dask" else numeric_class()
    arithmetic = cuda_class() if device == "cuda" else on_cpu
    lock = lock_recipe(recipe, resolver(lake))
    return lock, Prepared(lake=lake, secret=secret, device=device, numeric_class=arithmetic)


def scan(request: RunRequest, prepared: Prepared, progress: Progress) -> ScanReport:
    """Bring the index up to date; the caller is the driver."""
    return scan_into(
        prepared.lake,
        prepared.secret,
        request.archives,
        request.site,
        progress,
        accept_deletions=request.accept_deletions,
        settled=request.settled,
        retry=request.retry,
    )


def plans_of(request: RunRequest, lock: LockedRecipe, prepared: Prepared, scanned: ScanReport) -> RangePlans:
    """Open what a plan is made of; the caller is the driver."""
    results = Results.open(prepared.lake)
    results.absorb()
    index = LakeIndex.open(prepared.lake, Pseudonyms(prepared.secret))
    terms = Terms(
        numeric_class=prepared.numeric_class,
        conditions=conditions_of(request.site.limits),
        retry=frozenset(request.retry),
    )
    planner = Planner(lock, terms)
    return RangePlans(
        lock=lock,
        index=index,
        results=results,
        planner=planner,
        chosen=chosen_volumes(index, planner, request.wish),
        last=read_ranges(prepared.lake, lock.name),
        away=Away(prepared.lake, lock, share=request.site.deletions_share, scanned=scanned.away),
        privacy=prepared.lake.privacy,
    )


def plan_run(request: RunRequest, progress: Progress) -> dict[str, Any]:
    """Scan and plan; return what would run and why, without running it."""
    lock, prepared = prepare(request, progress)
    with prepared.lake.driver():
        scanned = scan(request, prepared, progress)
        plans = plans_of(request, lock, prepared, scanned)
        progress.stage("plan", 1 << plans.bits)
        writer = PlanWriter(plans, None, progress.advance)
        writer.run()
        changes = _changes(prepared.lake, lock)
    totals = writer.totals
    facts: dict[str, Any] = {
        "recipe": lock.name,
        "recipe digest": lock.digest[:16],
        "numeric class": prepared.numeric_class,
        "cases": {"all": totals.planned, "to run": totals.pending, "current": totals.planned - totals.pending},
        "why they run": dict(sorted(totals.why.items())),
        "changed in the recipe": changes,
        "by route": dict(sorted(totals.by_route.items())),
        "products to compute (at most)": dict(sorted(totals.products.items())),
        "features to compute (at most)": dict(sorted(totals.named.items())),
        "largest case, MB": totals.largest_bytes >> 20,
        "left out": dict(sorted(totals.skipped.items())),
        "refused (in the ranges looked at)": dict(sorted(totals.refused.items())),
        "ranges looked at": f"{(1 << plans.bits) - totals.unchanged_ranges} of {1 << plans.bits}",
    }
    if scanned.proposed_deletions:
        facts["proposed deletions"] = scanned.proposed_deletions
    if plans.away.cases:
        facts["cases that wait for files that are gone"] = plans.away.cases.total()
    return facts


def last_request(root: Path, site: Site, codes: tuple[str, ...]) -> RunRequest:
    """Return the newest run's request, to be run again for the cases that ended with some codes.

    Raises
    ------
    LakeError
        If nothing ran, or what was asked for is not kept.
    """
    lake = Lake.open(root, secret=load_secret(site.key_file))
    for name in reversed(run_names(lake)):
        kept = Run(lake, name).request()
        if kept is not None:
            archives = tuple(Path(archive) for archive in kept.pop("archives"))
            return replace(RunRequest(archives=archives, lake=root, site=site, **kept), retry=codes)
    raise LakeError(f"{root}: no run is kept whose cases could be tried again: medpipe run ARCHIVE --retry CODE")


def _changes(lake: Lake, lock: LockedRecipe) -> list[str]:
    """Return what the recipe changed since its run before."""
    for name in reversed(run_names(lake)):
        run = Run(lake, name)
        if run.info().get("recipe") == lock.name:
            return recipe_changes(tomllib.loads(run.lock()), tomllib.loads(lock.to_toml()))
    return []

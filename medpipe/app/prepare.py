"""Before a run: what was asked for, checked; the archive scanned; the plan's inputs opened."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from medpipe.app.archives import check_archives
from medpipe.app.away import Away
from medpipe.app.cohort import (
    Limited,
    check_cohort_sql,
    cohort_line,
    limit_to_file,
    limit_to_keys,
    limit_to_query,
    read_cohort,
)
from medpipe.app.conditions import conditions_of
from medpipe.app.index import LakeIndex
from medpipe.app.lakes import open_or_create
from medpipe.app.listing import Settled
from medpipe.app.models import check_models, resolver
from medpipe.app.networks import check_networks, network_resolver
from medpipe.app.planning import PlanWriter, RangePlans, Totals
from medpipe.app.progress import Progress
from medpipe.app.scan import ScanReport, scan_into
from medpipe.app.select import Wish, check_condition, chosen_volumes, patient_losers
from medpipe.app.site import Site
from medpipe.app.standards import check_standards, standard_resolver
from medpipe.engine.make import cases_at_a_time
from medpipe.engine.numeric import numeric_class, sandbox_class
from medpipe.errors import ConfigError, LakeError
from medpipe.lake.lake import Lake
from medpipe.lake.publication import read_ranges
from medpipe.lake.results import Results
from medpipe.lake.retention import shown_run
from medpipe.lake.runs import Run, run_before, run_names
from medpipe.plan.cases import Planner, Terms
from medpipe.plan.changes import recipe_changes
from medpipe.plan.cohort import Cohort
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.privacy.secret import Secret, load_secret
from medpipe.reasons import REASONS
from medpipe.recipe.lock import LockedRecipe, lock_recipe
from medpipe.recipe.recipe import load_recipe, shipped_recipes
from medpipe.xp import cuda_class, device_share, resolve_device


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
    cohort : Path or None
        File of the patients, studies and series to take.
    cohort_sql : str or None
        Query over the index tables ``series`` and ``volumes`` that gives their keys.
    frozen : Cohort or None
        What one of the two gave when it was asked before; then neither is asked again.
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
    cohort: Path | None = None
    cohort_sql: str | None = None
    frozen: Cohort | None = None
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
            "cohort": None if self.cohort is None else str(self.cohort.absolute()),
            "cohort_sql": self.cohort_sql,
            # the key is named by who opens the lake, or this could not be read
            "site": self.site.model_dump(mode="json", exclude={"key_file"}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A lake open for a run, and where its arithmetic is done.

    Attributes
    ----------
    lake : Lake
    secret : Secret
    device : str
        ``cpu`` or ``cuda``.
    numeric_class : str
        Class cases are planned for.
    fallback_class : str
        Class of the CPU that cases may go to which the device has no memory for; empty if they may not.
    device_bytes : int or None
        Memory of the device that a worker of this host may have; None on the CPU.
    """

    lake: Lake
    secret: Secret
    device: str
    numeric_class: str
    fallback_class: str = ""
    device_bytes: int | None = None


def prepare(request: RunRequest, progress: Progress) -> tuple[LockedRecipe, Prepared]:
    """Check everything that was asked for, before anything is written."""
    recipe = load_recipe(request.recipe)
    check_archives(request.archives, request.lake)
    for code in request.retry:
        if code not in REASONS:
            raise ConfigError(f"--retry: {code!r} is no reason code (they are in docs/reference/reasons.md)")
    if request.only is not None:
        check_condition(request.only)
    _check_cohort(request)
    device = resolve_device(request.site.device)
    check_models(recipe, request.lake)
    check_networks(recipe, request.lake)
    check_standards(recipe, request.lake)
    lake, secret = open_or_create(request.lake, request.site, progress)
    on_cpu = sandbox_class() if request.site.engine == "dask" else numeric_class()
    lock = lock_recipe(recipe, resolver(lake), standard_resolver(lake), network_resolver(lake))
    if device == "cpu":
        return lock, Prepared(lake=lake, secret=secret, device=device, numeric_class=on_cpu)
    return lock, Prepared(
        lake=lake,
        secret=secret,
        device=device,
        numeric_class=cuda_class(),
        fallback_class=on_cpu if request.site.permits_cpu else "",
        device_bytes=_device_bytes(request.site),
    )


def _device_bytes(site: Site) -> int:
    """Return what a worker of this host may have of the device."""
    return device_share(site.gpu.memory_bytes, processes=cases_at_a_time(site.engine, site.workers))


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


def plans_of(
    request: RunRequest, lock: LockedRecipe, prepared: Prepared, scanned: ScanReport, progress: Progress
) -> RangePlans:
    """Open what a plan is made of; the caller is the driver."""
    results = Results.open(prepared.lake)
    results.absorb()
    pseudonyms = Pseudonyms(prepared.secret)
    index = LakeIndex.open(prepared.lake, pseudonyms)
    limited = _limited(request, index, pseudonyms)
    for line in () if limited is None else limited.lines():
        progress.say(line)
    terms = Terms(
        numeric_class=prepared.numeric_class,
        conditions=conditions_of(request.site.limits, device_bytes=prepared.device_bytes),
        retry=frozenset(request.retry),
        fallback=prepared.fallback_class,
    )
    planner = Planner(lock, terms, None if limited is None else limited.cohort)
    losers = cache(partial(patient_losers, index, planner))
    return RangePlans(
        lock=lock,
        index=index,
        results=results,
        planner=planner,
        chosen=chosen_volumes(index, planner, request.wish, losers),
        losers=losers,
        limited=limited,
        last=read_ranges(prepared.lake, lock.name),
        away=Away(prepared.lake, lock, share=request.site.deletions_share, scanned=scanned.away),
        privacy=prepared.lake.privacy,
    )


def plan_run(request: RunRequest, progress: Progress) -> dict[str, Any]:
    """Scan and plan; return what would run and why, without running it."""
    lock, prepared = prepare(request, progress)
    with prepared.lake.driver():
        scanned = scan(request, prepared, progress)
        plans = plans_of(request, lock, prepared, scanned, progress)
        progress.stage("plan", 1 << plans.bits)
        writer = PlanWriter(plans, None, progress.advance)
        writer.run()
        before = run_before(prepared.lake, lock.name)
        changes, cohort = _changes(before, lock), _cohort_facts(before, plans.limited)
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
        **_device_facts(prepared, totals),
        "left out": dict(sorted(totals.skipped.items())),
        "not chosen, by what decided (in the ranges looked at)": dict(sorted(totals.decided.items())),
        "refused (in the ranges looked at)": dict(sorted(totals.refused.items())),
        "ranges looked at": f"{(1 << plans.bits) - totals.unchanged_ranges} of {1 << plans.bits}",
    }
    if totals.leaving:
        facts["rows that leave the tables, by why"] = dict(sorted(totals.leaving.items()))
    if cohort:
        facts["cohort"] = cohort
    if scanned.proposed_deletions:
        facts["proposed deletions"] = scanned.proposed_deletions
    if plans.away.cases:
        facts["cases that wait for files that are gone"] = plans.away.cases.total()
    return facts


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRequest:
    """What was asked for by the run whose tables readers see.

    Attributes
    ----------
    request : RunRequest
    run : str
        Id of the run.
    passed : str
        Id of the newest run where that is another one, whose tables readers do not see; else empty.
    """

    request: RunRequest
    run: str
    passed: str

    def lines(self) -> Iterator[str]:
        """Yield what a person should know before it is asked for again."""
        if self.passed:
            yield f"retry: run {self.passed} is newer, but readers do not have its tables: it is not taken up"
        archives = ", ".join(map(str, self.request.archives))
        cohort = None if self.request.frozen is None else self.request.frozen.digest[:16]
        parts = {
            "only": self.request.only,
            "sample": self.request.sample,
            "limit": self.request.limit,
            "cohort": cohort,
        }
        chosen = "".join(f", {name} {value}" for name, value in parts.items() if value is not None)
        case_s = self.request.site.limits.case_s
        yield f"retry: recipe {self.request.recipe} over {archives}{chosen}, as run {self.run}; {case_s:g} s a case"


def last_request(root: Path, codes: tuple[str, ...], *, site: Site, takes_site: bool = False) -> LastRequest:
    """Return what the run whose tables readers see was asked for, with some codes to be tried again.

    Parameters
    ----------
    root : Path
    codes : tuple of str
    site : Site
        Names the lake's key.
    takes_site : bool
        Whether `site` is taken whole; else that of the run is, with this one's key.

    Raises
    ------
    LakeError
        If readers see no tables, or the request of the run they are of is not kept.
    """
    lake = Lake.open(root, secret=load_secret(site.key_file))
    lake.store.refuse_unless_link(lake.layout.tables())
    shown = shown_run(lake)
    kept = None if shown is None else Run(lake, shown).request()
    if shown is None or kept is None:
        raise LakeError(
            f"{root}: no run is kept that ended with the tables readers have: medpipe run ARCHIVE -r RECIPE --retry CODE"
        )
    newest = run_names(lake)[-1]
    archives = tuple(Path(archive) for archive in kept.pop("archives"))
    before = kept.pop("site", None)
    frozen = Run(lake, shown).cohort()
    if kept.get("cohort") is not None:
        kept["cohort"] = Path(kept["cohort"])
    if frozen is not None:
        kept["frozen"] = Cohort.from_json(frozen)
    if before is not None and not takes_site:
        site = Site.model_validate_json(json.dumps(before)).model_copy(update={"key_file": site.key_file})
    return LastRequest(
        request=RunRequest(archives=archives, lake=root, site=site, retry=codes, **kept),
        run=shown,
        passed=newest if newest != shown else "",
    )


def _check_cohort(request: RunRequest) -> None:
    if request.cohort is not None and request.cohort_sql is not None:
        raise ConfigError("--cohort and --cohort-sql: a run is limited to one cohort; give one of the two")
    if request.frozen is not None:
        return
    if request.cohort is not None:
        read_cohort(request.cohort)
    if request.cohort_sql is not None:
        check_cohort_sql(request.cohort_sql)


def _limited(request: RunRequest, index: LakeIndex, pseudonyms: Pseudonyms) -> Limited | None:
    """Return the cohort a run is limited to, as it is from now on."""
    if request.frozen is not None:
        return limit_to_keys(request.frozen, index)
    if request.cohort is not None:
        return limit_to_file(read_cohort(request.cohort), index, pseudonyms)
    return None if request.cohort_sql is None else limit_to_query(request.cohort_sql, index)


def _cohort_facts(before: Run | None, limited: Limited | None) -> dict[str, Any]:
    """Return what the plan is limited to, and what the recipe's run before was limited to where that is another."""
    facts = {} if limited is None else limited.facts()
    known = {} if before is None else before.info()
    if before is None or known.get("cohort") == facts.get("digest"):
        return facts
    return {**facts, "run before": cohort_line(known)}


def _device_facts(prepared: Prepared, totals: Totals) -> dict[str, Any]:
    """Return what cases are projected to need of a device, and what becomes of those it has too little for."""
    if prepared.device_bytes is None:
        return {}
    needs = [(need, count) for need, count in totals.device.items() if need.whole > prepared.device_bytes]
    return {
        "device": {
            "memory of a worker, MB": prepared.device_bytes >> 20,
            "largest case, MB": max((need.whole for need in totals.device), default=0) >> 20,
            "cases in blocks": sum(count for _, count in needs),
            "cases that may not fit in blocks": sum(n for need, n in needs if need.least > prepared.device_bytes),
            "those that do not fit": f"go to the CPU as {prepared.fallback_class}"
            if prepared.fallback_class
            else "end with E_GPU_MEMORY",
        }
    }


def _changes(before: Run | None, lock: LockedRecipe) -> list[str]:
    """Return what the recipe changed since its run before."""
    return [] if before is None else recipe_changes(tomllib.loads(before.lock()), tomllib.loads(lock.to_toml()))

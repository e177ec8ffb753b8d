"""Every path of a lake. Nothing else builds one, and nothing out of a header becomes one.

Paths are relative to the lake's root, with ``/`` between the parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from medpipe.errors import SecurityError

FORMAT_VERSION = 2

_HEX = re.compile(r"[0-9a-f]{16,64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in a lake of this format version.

    Every method refuses a key that is not lower-case hexadecimal and a name that is not made
    of letters, digits and ``. _ @ + -`` (:class:`~medpipe.errors.SecurityError`).
    """

    version: int = FORMAT_VERSION

    def description(self) -> str:
        """Return the file that says what the lake is."""
        return "lake.json"

    def driver_lock(self) -> str:
        """Return the file the one driver holds a lock on."""
        return "locks/driver.lock"

    def driver_epoch(self) -> str:
        """Return the pointer that counts drivers."""
        return "locks/driver.epoch"

    def attempts(self) -> str:
        """Return the folder of what is being written; garbage once nobody works."""
        return "tmp"

    def attempt(self, label: str, token: str) -> str:
        """Return a private place to write in."""
        return f"tmp/{_name(label)}.{_key(token)}"

    def objects(self) -> str:
        """Return the folder of committed products."""
        return "objects"

    def volume(self, key: str) -> str:
        """Return the Zarr group of a product key."""
        return f"objects/{_key(key)[:2]}/{key}"

    def file(self, folder: str, name: str) -> str:
        """Return a file of a published folder."""
        return f"{folder}/{_name(name)}"

    def manifest(self, folder: str) -> str:
        """Return the manifest of a published folder."""
        return f"{folder}/manifest.json"

    def segments(self) -> str:
        """Return the folder of all segments."""
        return "objects/segments"

    def run_segments(self, run: str) -> str:
        """Return the folder of a run's segments."""
        return f"objects/segments/{_name(run)}"

    def segment(self, run: str, writer: str, number: int, count: int, digest: str) -> str:
        """Return a segment: the run, who wrote it, its number, its results, the digest of its bytes."""
        return f"objects/segments/{_name(run)}/{_name(writer)}.{number:06d}.{count}.{_key(digest)}.jsonl.zst"

    def snapshots(self) -> str:
        """Return the folder of all snapshots."""
        return "objects/snapshots"

    def snapshot(self, snapshot: str) -> str:
        """Return a snapshot by its id."""
        return f"objects/snapshots/{_key(snapshot)}.json.zst"

    def snapshot_range(self, digest: str) -> str:
        """Return the cases of a range, which snapshots share, by their digest."""
        return f"objects/snapshots/ranges/{_key(digest)}.json.zst"

    def index(self) -> str:
        """Return the folder of all that can be made again: the index of sources and of results."""
        return "index"

    def index_sources(self) -> str:
        """Return the folder of the index of sources, one folder per source below it."""
        return "index/sources"

    def index_pointer(self, source: str) -> str:
        """Return the pointer to a source's current generation."""
        return f"index/sources/{_name(source)}/CURRENT"

    def index_generation(self, source: str, generation: str) -> str:
        """Return a generation of a source's index: which shards it has."""
        return f"index/sources/{_name(source)}/generations/{_key(generation)}.json"

    def index_shard(self, source: str, table: str, keys: str, digest: str) -> str:
        """Return the rows of a table whose keys lie in a range, by the digest of their bytes."""
        return f"index/sources/{_name(source)}/{_name(table)}/{_name(keys)}.{_key(digest)}.parquet"

    def results_folder(self) -> str:
        """Return the folder of the index of results."""
        return "index/results"

    def results_pointer(self) -> str:
        """Return the pointer to the current generation of the index of results."""
        return "index/results/CURRENT"

    def results_generation(self, generation: str) -> str:
        """Return a generation of the index of results: segments covered, pieces by range."""
        return f"index/results/generations/{_key(generation)}.json.zst"

    def results_piece(self, keys: str, digest: str) -> str:
        """Return results of the volumes of a range, by the digest of their bytes."""
        return f"index/results/pieces/{_name(keys)}.{_key(digest)}.jsonl.zst"

    def removal_list(self) -> str:
        """Return the list of what a first pass of gc found out of reach."""
        return "locks/removal.json"

    def private(self, name: str) -> str:
        """Return a sealed blob; `name` may have folders."""
        return "/".join(["private", *(_name(part) for part in name.split("/"))]) + ".sealed"

    def private_folder(self) -> str:
        """Return the folder of sealed blobs."""
        return "private"

    def fit(self, digest: str) -> str:
        """Return a fitted artefact."""
        return f"fits/{_key(digest)}.json"

    def fits(self) -> str:
        """Return the folder of all fitted artefacts."""
        return "fits"

    def fit_register(self) -> str:
        """Return the folder of the names of fitted artefacts."""
        return "fits/names"

    def fit_entry(self, name: str, order: int) -> str:
        """Return the entry of a fit's name; the highest order is its latest."""
        return f"fits/names/{_name(name)}/{order:06d}.json"

    def models(self) -> str:
        """Return the folder of all model packages."""
        return "models"

    def model(self, digest: str) -> str:
        """Return the folder of a model package."""
        return f"models/{_key(digest)}"

    def model_file(self, digest: str, file: str) -> str:
        """Return a file of a model package."""
        return f"{self.model(digest)}/{_name(file)}"

    def model_register(self) -> str:
        """Return the folder of the lake's own model names."""
        return "models/names"

    def model_entry(self, name: str, order: int) -> str:
        """Return the entry of a model's name; the highest order is its latest."""
        return f"models/names/{_name(name)}/{order:06d}.json"

    def runs(self) -> str:
        """Return the folder of all runs."""
        return "runs"

    def run(self, run: str) -> str:
        """Return the folder of a run."""
        return f"runs/{_name(run)}"

    def run_recipe(self, run: str) -> str:
        """Return the locked recipe of a run."""
        return f"{self.run(run)}/recipe.lock.toml"

    def run_plan(self, run: str, shard: int) -> str:
        """Return a shard of a run's plan."""
        return f"{self.run(run)}/plan/{shard:05d}.parquet"

    def run_plan_sum(self, run: str, shard: int) -> str:
        """Return the SHA-256 of a shard's bytes."""
        return f"{self.run(run)}/plan/{shard:05d}.sha256"

    def run_events(self, run: str, epoch: int) -> str:
        """Return the event record of one driver of a run."""
        return f"{self.run(run)}/events/{epoch:06d}.jsonl"

    def run_snapshot(self, run: str) -> str:
        """Return the summary a run ended with."""
        return f"{self.run(run)}/SNAPSHOT"

    def run_info(self, run: str) -> str:
        """Return what was known of a run when it started."""
        return f"{self.run(run)}/info.json"

    def publications(self) -> str:
        """Return the folder of all publications, one folder per recipe below it."""
        return "published"

    def latest(self, recipe: str) -> str:
        """Return the pointer to a recipe's current publication."""
        return f"published/{_name(recipe)}/LATEST"

    def published_state(self, recipe: str) -> str:
        """Return the pointer to the digest of what a recipe's current publication was derived from."""
        return f"published/{_name(recipe)}/STATE"

    def publication(self, recipe: str, snapshot: str, digest: str) -> str:
        """Return a publication: the tables of a snapshot, told apart by their own digest."""
        return f"published/{_name(recipe)}/{_key(snapshot)}-{_key(digest)[:16]}"

    def part(self, table: str, number: int) -> str:
        """Return a part of a table that is not cut by keys, relative to its publication."""
        return f"{_name(table)}/part-{number:05d}.parquet"

    def keyed_part(self, table: str, modality: str, keys: str) -> str:
        """Return the part of a table with the rows of a modality whose keys lie in a range."""
        return f"{_name(table)}/part-{_name(modality)}-{_name(keys)}.parquet"

    def parts_list(self, folder: str) -> str:
        """Return the list of a publication's parts and ranges."""
        return f"{folder}/parts.json"

    def tables(self) -> str:
        """Return the link to the latest publication."""
        return "tables"


LAYOUT = Layout()


def _key(key: str) -> str:
    if not _HEX.fullmatch(key):
        raise SecurityError("a key of the lake is not 16 to 64 lower-case hexadecimal digits; refused as a path")
    return key


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise SecurityError(
            "a name in the lake must be 1 to 128 letters, digits or . _ @ + - and begin with a letter or digit; "
            "refused as a path"
        )
    return name

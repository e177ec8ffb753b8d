"""Schemas of the public tables: the columns a program may build on.

A column is added at the end and a schema's ``version`` raised; a column is never renamed or
given another meaning. Types are named here in plain words and turned into Arrow by ``lake``.
"""

from __future__ import annotations

from medpipe.contracts.image_tables import REGISTRATIONS, VIEWS
from medpipe.contracts.schema import Field, TableSchema

INSTANCES = TableSchema(
    "instances",
    1,
    "a file or archive member seen",
    (
        Field("instance_key", "string", "identity of the file in its source"),
        Field("series_key", "string", "series it belongs to; null where the header does not say"),
        Field("source", "string", "id of the archive source"),
        Field("modality", "string", "DICOM modality, or null"),
        Field("sop_class_uid", "string", "SOP class, or null"),
        Field("transfer_syntax", "string", "transfer syntax UID, or null"),
        Field("size_bytes", "int64", "size of the file"),
        Field("n_frames", "int64", "frames in the file; 0 without pixels"),
        Field("lossy", "bool", "pixels went through lossy compression"),
        Field("outcome", "string", "used, catalogued, duplicate, skipped or quarantined"),
        Field("code", "string", "reason, or null"),
        Field("path", "string", "path relative to the archive; identified lakes only, else null"),
        Field("sop_instance_uid", "string", "identified lakes only, else null"),
    ),
    ("modality", "series_key", "instance_key"),
    "instance_key",
)

MEMBERS = TableSchema(
    "members",
    2,
    "the place of an instance (or of one of its frames) in a volume",
    (
        Field("instance_key", "string", "the instance"),
        Field("frame", "int64", "frame number within the instance, from 0"),
        Field("volume_key", "string", "the volume"),
        Field("index", "int64", "place in the volume, from 0: t outer, z inner"),
        Field("series_key", "string", "series of the volume"),
        Field("modality", "string", "DICOM modality of the volume"),
    ),
    ("modality", "series_key", "volume_key", "index"),
)

SERIES = TableSchema(
    "series",
    1,
    "a series",
    (
        Field("series_key", "string", "identity of the series"),
        Field("study_key", "string", "identity of the study"),
        Field("patient_key", "string", "identity of the patient"),
        Field("source", "string", "id of the archive source"),
        Field("modality", "string", "DICOM modality"),
        Field("manufacturer", "string", "closed list: GE, SIEMENS, PHILIPS, CANON, UIH, ..., OTHER"),
        Field("model", "string", "pseudonymous key of the scanner model's name"),
        Field("scanner_key", "string", "pseudonymous key of the scanner (station or serial)"),
        Field("software", "string", "pseudonymous key of the software version"),
        Field("kernel", "string", "convolution kernel: a code such as B30f, a word of a closed list, or OTHER"),
        Field("slice_thickness_mm", "float64", "nominal thickness"),
        Field("kvp", "float64", "tube voltage in kV"),
        Field("field_t", "float64", "magnetic field strength in tesla"),
        Field("contrast", "bool", "a contrast agent is named; null where not said"),
        Field("body_part", "string", "closed list: CHEST, HEAD, ABDOMEN, ..., OTHER, or null"),
        Field("sex", "string", "F, M, O or null"),
        Field("age_band", "string", "decade such as 60-69; 90+; or null"),
        Field("study_day", "int64", "days since the patient's first study in the lake"),
        Field("period", "string", "year of the study, unshifted, such as 2014; or null"),
        Field("n_instances", "int64", "instances of the series"),
        Field("n_volumes", "int64", "volumes made of it"),
        Field("series_instance_uid", "string", "identified lakes only, else null"),
        Field("study_instance_uid", "string", "identified lakes only, else null"),
        Field("patient_id", "string", "identified lakes only, else null"),
    ),
    ("modality", "series_key"),
)

VOLUMES = TableSchema(
    "volumes",
    3,
    "a volume, or a refusal to make one",
    (
        Field("volume_key", "string", "identity of the volume"),
        Field("series_key", "string", "its series"),
        Field("kind", "string", "volume, series4d, mosaic, enhanced, single, planar, colour, multiframe, segmentation"),
        Field("modality", "string", "DICOM modality"),
        Field("route", "string", "route of the recipe that took it, or null"),
        Field("shape", "list<int64>", "shape of the stored array"),
        Field("axes", "string", "names of the axes of shape: zyx, tzyx or czyx"),
        Field("spacing_mm", "list<float64>", "step between voxel centres along z, y, x, to 1e-5 mm"),
        Field(
            "affine_lps",
            "list<float64>",
            "16 numbers, row-major: voxel index (x, y, z, 1) to LPS mm; to 1e-5, all digits are in the Zarr attributes",
        ),
        Field("slice_positions_mm", "list<float64>", "positions along the normal where steps are uneven"),
        Field("unit", "string", "HU, BQML, SUV, normalized or arbitrary"),
        Field("dtype", "string", "type of the stored array"),
        Field("verdict", "string", "what is true of the geometry: regular, tilted, uneven, refused, ..."),
        Field("code", "string", "reason, or null"),
        Field("lossy", "bool", "pixels went through lossy compression"),
        Field("content_digest", "string", "digest of voxels and geometry"),
        Field("store", "string", "path of the Zarr group in the lake, or null"),
        Field("final_store", "string", "the same for the image after the route's ops, where the recipe keeps it"),
        Field("flags", "list<string>", "all reasons that are true of the volume, code first; empty where none is"),
        Field("tilt_deg", "float64", "angle between the step from slice to slice and the normal, where sheared"),
        Field(
            "n_missing", "int64", "slices missing between others; null where steps are uneven or slices have no place"
        ),
        Field("missing_mm", "list<float64>", "positions along the normal at which slices are missing"),
        Field(
            "values", "string", "what stored numbers went through: stored (nothing), rescale or table (modality LUT)"
        ),
        Field(
            "padding",
            "list<float64>",
            "lowest and highest value that the header calls padding, kept in the array; a pair for each member where "
            "they differ; null without any",
        ),
        Field(
            "real_world_map",
            "bool",
            "a header maps stored numbers to real-world values, or scales a dose grid; not applied (the op real_world does)",
        ),
        Field("monochrome1", "bool", "a header says that low values are shown bright; values keep their polarity"),
        Field(
            "suv_factor",
            "list<float64>",
            "value times this is the uptake by body weight in g/mL: one number, or one for each plane (t outer, z "
            "inner); null where it is not known, and for what is no PET",
        ),
        Field("suv_code", "string", "reason why a PET has no such factor, or null"),
        Field("suv_flags", "list<string>", "reasons to doubt the factors to uptake of a PET; null for all else"),
        Field("thickness_mm", "float64", "nominal slice thickness of its images; null where not said"),
        Field("kernel_class", "string", "soft (tissue, head) or sharp (lung, bone); null where neither or not known"),
        Field("derived", "bool", "made of other images (ImageType DERIVED); false: ORIGINAL; null where not said"),
        Field("chosen_instead", "string", "volume that the recipe's select takes instead of it; null where none does"),
        Field("decided_by", "string", "preference that decided so, or key where all of them found both equal"),
    ),
    ("modality", "series_key", "volume_key"),
)

REGIONS = TableSchema(
    "regions",
    3,
    "a region of interest",
    (
        Field("region_key", "string", "identity of the region: volume, source and label"),
        Field("volume_key", "string", "its volume"),
        Field("series_key", "string", "its series"),
        Field("name", "string", "closed name: an op's, a mapped label, or roi_N"),
        Field("label", "int64", "number within its source"),
        Field("source", "string", "op, seg, rtstruct or mask"),
        Field("n_voxels", "int64", "voxels in the mask"),
        Field("volume_mm3", "float64", "voxels times the voxel volume"),
        Field("touches_border", "bool", "the mask reaches an edge of the image"),
        Field("mask_digest", "string", "digest of the mask"),
        Field("modality", "string", "DICOM modality of the volume"),
        Field("code", "string", "why nothing could be drawn of a structure that an object names, or null"),
        Field("threshold", "float64", "share from which values of a fractional segmentation are inside; else null"),
    ),
    ("modality", "series_key", "volume_key", "name", "region_key"),
)

FEATURE_KEYS = (
    Field("series_key", "string", "its series"),
    Field("volume_key", "string", "the volume"),
    Field("region_key", "string", "the region"),
    Field("region", "string", "name of the region"),
    Field("image", "string", "image measured: original, final or a companion's name"),
    Field("extraction", "string", "name of the extraction in the recipe"),
    Field("extraction_digest", "string", "digest of op, version, parameters and image chain"),
    Field("status", "string", "ok or flagged or empty"),
    Field("code", "string", "reason, or null"),
    Field("modality", "string", "DICOM modality of the volume"),
)
"""The columns of ``features`` before the feature columns, which the recipe decides."""

FEATURE_ORDER = ("modality", "series_key", "volume_key", "region_key", "image", "extraction")

PERTURBED_KEYS = (
    *FEATURE_KEYS,
    Field("perturbation", "string", "name of the perturbation in the recipe"),
    Field("number", "int64", "which of its times, from 1"),
)
"""The columns of ``perturbed`` before the feature columns."""

FEATURE_DICTIONARY = TableSchema(
    "feature_dictionary",
    2,
    "a feature column of an extraction",
    (
        Field("extraction", "string", "name of the extraction in the recipe"),
        Field("extraction_digest", "string", "its digest"),
        Field("name", "string", "column of features"),
        Field("alias", "string", "what pyradiomics calls the feature, or null"),
        Field("family", "string", "statistics, morphology, glcm, lbp, ..."),
        Field("ibsi", "string", "IBSI code, or null"),
        Field("unit", "string", "physical unit; image = unit of the image; map = of a response map; 1 = none"),
        Field("aggregation", "string", "3D, 3D_avg, ...; or null"),
        Field("image", "string", "image measured"),
        Field("discretisation", "string", "how grey levels are made, or null"),
        Field("compliance", "string", "ibsi, deviates (a step is not the standard's) or none (not of the standard)"),
        Field("low", "float64", "lowest defined value, or null"),
        Field("high", "float64", "highest defined value, or null"),
        Field("filter", "string", "filter whose response map is measured, as in the column's name; or null"),
        Field("filter_ibsi", "string", "IBSI code of the filter, or null"),
    ),
    ("extraction", "extraction_digest", "name"),
)

SCORES = TableSchema(
    "scores",
    2,
    "a region or volume, a model and a target",
    (
        Field("series_key", "string", "its series"),
        Field("volume_key", "string", "the volume"),
        Field("region_key", "string", "the region, or null for the whole volume"),
        Field("model", "string", "name of the model"),
        Field("model_digest", "string", "digest of its package"),
        Field("target", "string", "what it predicts"),
        Field("class", "string", "class the value is the probability of; null for a regression"),
        Field("value", "float64", "probability or prediction"),
        Field("lower", "float64", "lower end of the interval, or null"),
        Field("upper", "float64", "upper end of the interval, or null"),
        Field("status", "string", "ok, or the code why there is no value"),
        Field("modality", "string", "DICOM modality of the volume"),
    ),
    ("modality", "series_key", "volume_key", "region_key", "model", "target", "class"),
)

QUARANTINE = TableSchema(
    "quarantine",
    2,
    "a reason why a subject was set aside or flagged",
    (
        Field("subject", "string", "instance, series, volume or case key"),
        Field("subject_kind", "string", "instance, volume or case"),
        Field(
            "stage",
            "string",
            "scan, assemble, plan, read, image, registrations, regions, features, perturbed, views, scores",
        ),
        Field("code", "string", "reason code"),
        Field("severity", "string", "info, warning or error"),
        Field("message", "string", "what was found (a template and the ops it is of, no values)"),
        Field("remedy", "string", "what to do about it"),
        Field("series_key", "string", "series of the subject; null where the header does not say"),
        Field("modality", "string", "DICOM modality of the subject, or null"),
    ),
    ("modality", "series_key", "subject", "stage", "code"),
    "subject",
)

CASES = TableSchema(
    "cases",
    3,
    "a case of the snapshot and what it cost",
    (
        Field("case_key", "string", "identity of the work"),
        Field("volume_key", "string", "its primary volume"),
        Field("series_key", "string", "its series"),
        Field("route", "string", "route of the recipe"),
        Field("outcome", "string", "done, rejected or failed"),
        Field("code", "string", "reason, or null"),
        Field("stage", "string", "where it ended"),
        Field("wall_s", "float64", "seconds by the clock"),
        Field("cpu_s", "float64", "seconds of processor time"),
        Field("peak_bytes", "int64", "highest resident memory seen"),
        Field("projected_bytes", "int64", "memory planned for"),
        Field("numeric_class", "string", "cpu-x86-64-v3, cuda-cc90, ..."),
        Field("device", "string", "whole, blocks (parts at a time), left (for the CPU); null: none was asked for"),
        Field("attempts", "int64", "times it was started"),
        Field("run", "string", "run that committed it"),
        Field("modality", "string", "DICOM modality of the volume"),
        Field("volumes_made", "int64", "volumes that run stored for it; the others were there"),
        Field("regions_made", "int64", "region sources that run computed for it"),
        Field("features_made", "int64", "extractions that run computed for it, by region source"),
        Field("scores_made", "int64", "models that run scored it with"),
    ),
    ("modality", "series_key", "volume_key", "case_key"),
)

RUNS = TableSchema(
    "runs",
    2,
    "a run that ended with a snapshot",
    (
        Field("run", "string", "id of the run"),
        Field("recipe", "string", "name of the recipe"),
        Field("recipe_digest", "string", "digest of the locked recipe"),
        Field("snapshot", "string", "snapshot it published"),
        Field("started", "string", "UTC, ISO 8601"),
        Field("ended", "string", "UTC, ISO 8601"),
        Field("engine", "string", "serial or dask"),
        Field("planned", "int64", "cases planned"),
        Field("executed", "int64", "cases this run executed"),
        Field("committed", "int64", "cases done"),
        Field("quarantined", "int64", "cases rejected or failed"),
        Field("skipped", "int64", "volumes left out by a rule"),
        Field("versions", "string", "library versions, JSON"),
        Field("privacy", "string", "pseudonymized or identified"),
        Field("cohort", "string", "keyed digest of the cohort the run was limited to, or null"),
        Field("cohort_entries", "int64", "patients, studies and series the cohort names, or null"),
    ),
    ("started", "run"),
)

SCHEMAS: dict[str, TableSchema] = {
    schema.name: schema
    for schema in (
        INSTANCES,
        MEMBERS,
        SERIES,
        VOLUMES,
        REGISTRATIONS,
        REGIONS,
        FEATURE_DICTIONARY,
        VIEWS,
        SCORES,
        QUARANTINE,
        CASES,
        RUNS,
    )
}
"""Every table of fixed columns by name; ``features`` is made by :func:`features_schema`, ``perturbed`` by
:func:`perturbed_schema`."""

TABLE_NAMES = (*SCHEMAS, "features", "perturbed")


def features_schema(columns: tuple[str, ...]) -> TableSchema:
    """Return the schema of ``features`` for a recipe's columns, in the order given."""
    values = tuple(Field(name, "float64", "see feature_dictionary") for name in columns)
    return TableSchema("features", 2, "a region, an image and an extraction", FEATURE_KEYS + values, FEATURE_ORDER)


def perturbed_schema(columns: tuple[str, ...]) -> TableSchema:
    """Return the schema of ``perturbed`` for the columns of the extractions that are measured so."""
    values = tuple(Field(name, "float64", "see feature_dictionary") for name in columns)
    row = "a region, an image and an extraction, measured once more as they might have been"
    return TableSchema("perturbed", 1, row, PERTURBED_KEYS + values, (*FEATURE_ORDER, "perturbation", "number"))

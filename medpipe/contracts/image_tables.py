"""Schemas of the public tables of companion images and of views."""

from __future__ import annotations

from medpipe.contracts.schema import Field, TableSchema

REGISTRATIONS = TableSchema(
    "registrations",
    1,
    "a companion image of a volume, and how it lies to it",
    (
        Field("volume_key", "string", "the volume"),
        Field("series_key", "string", "its series"),
        Field("companion", "string", "name of the companion in the recipe"),
        Field("companion_volume_key", "string", "the volume that is the companion image; null where none fits"),
        Field("method", "string", "frame (as they lie in one frame of reference) or rigid (registered), or null"),
        Field("status", "string", "ok, or refused: then nothing was made of it"),
        Field("code", "string", "reason, or null"),
        Field(
            "matrix_lps",
            "list<float64>",
            "16 numbers, row-major: (x, y, z, 1) in LPS mm of the volume to LPS mm of the companion image",
        ),
        Field("overlap", "float64", "share of the smaller image that lies within the other"),
        Field("rotation_deg", "float64", "angle of the matrix"),
        Field("translation_mm", "float64", "by how far the matrix moves the volume's centre"),
        Field("metric_before", "float64", "mutual information in nats where registration began, or null"),
        Field("metric_after", "float64", "the same where it ended"),
        Field("inverse_mm", "float64", "farthest that a corner comes to lie from itself, there and back, or null"),
        Field("store", "string", "path of the Zarr group of both as channels, where the recipe fuses them"),
        Field("modality", "string", "DICOM modality of the volume"),
    ),
    ("modality", "series_key", "volume_key", "companion"),
)

VIEWS = TableSchema(
    "views",
    1,
    "a picture or surface of a volume, or why there is none",
    (
        Field("volume_key", "string", "the volume"),
        Field("series_key", "string", "its series"),
        Field("view", "string", "name of the view in the recipe"),
        Field("op", "string", "projection, thumbnail, surface, ..."),
        Field("image", "string", "image shown: original, final or a companion's name"),
        Field("region_key", "string", "region shown, or null"),
        Field("code", "string", "why there is no file, or null"),
        Field("store", "string", "path of its folder in the lake"),
        Field("file", "string", "name of the file in it"),
        Field("bytes", "int64", "size of the file"),
        Field("sha256", "string", "SHA-256 of the file"),
        Field("width", "int64", "pixels of a line; pictures only"),
        Field("height", "int64", "lines; pictures only"),
        Field("pixel_mm", "float64", "edge of a pixel; pictures only"),
        Field("low", "float64", "value shown as the lowest grey level; pictures only"),
        Field("high", "float64", "value shown as the highest grey level; pictures only"),
        Field("n_vertices", "int64", "points of a surface"),
        Field("n_triangles", "int64", "triangles of a surface"),
        Field("volume_mm3", "float64", "volume that a surface encloses"),
        Field("area_mm2", "float64", "area of a surface"),
        Field("modality", "string", "DICOM modality of the volume"),
    ),
    ("modality", "series_key", "volume_key", "view", "file"),
)

"""Closed surfaces as files: binary STL, and binary glTF 2.0 (GLB)."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from medpipe.keys import canonical

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_HEAD_BYTES = 80
_FLOAT, _UNSIGNED, _TRIANGLES = 5126, 5125, 4
_VERTICES, _INDICES = 34962, 34963
_LPS_TO_GLTF = [0.001, 0.0, 0.0, 0.0, 0.0, 0.0, -0.001, 0.0, 0.0, 0.001, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
"""Column by column: mm to m, and up (y of glTF) is the patient's head, its z the patient's front."""


def stl_bytes(points: Points, faces: Faces, /) -> bytes:
    """Return a surface as binary STL, in the unit and axes of its points.

    Parameters
    ----------
    points : array of float64 (n, 3)
    faces : array of int (m, 3)
        Wound so that they are seen from outside counter-clockwise.
    """
    corners = points[faces].astype("<f4")
    wide = corners.astype(np.float64)
    normals = np.cross(wide[:, 1] - wide[:, 0], wide[:, 2] - wide[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    triangles = np.zeros(len(faces), _TRIANGLE)
    triangles["normal"] = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
    triangles["corners"] = corners
    # a head that begins with "solid" would be taken for text
    head = b"binary STL, LPS mm".ljust(_HEAD_BYTES)
    return head + struct.pack("<I", len(faces)) + triangles.tobytes()


def glb_bytes(points: Points, faces: Faces, /, *, name: str) -> bytes:
    """Return a surface as binary glTF: points in LPS mm, under a node that turns them to metres with y up.

    Parameters
    ----------
    points : array of float64 (n, 3)
        LPS mm.
    faces : array of int (m, 3)
    name : str
        Of the mesh.
    """
    places, corners = points.astype("<f4"), faces.astype("<u4")
    binary = places.tobytes() + corners.tobytes()
    scene = {
        "asset": {"version": "2.0", "generator": "medpipe"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name, "matrix": _LPS_TO_GLTF}],
        "meshes": [
            {
                "name": name,
                "primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": _TRIANGLES}],
                "extras": {"space": "LPS", "unit": "mm"},
            }
        ],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": _FLOAT,
                "count": len(places),
                "type": "VEC3",
                "min": [float(value) for value in places.min(axis=0)],
                "max": [float(value) for value in places.max(axis=0)],
            },
            {"bufferView": 1, "componentType": _UNSIGNED, "count": corners.size, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": places.nbytes, "target": _VERTICES},
            {"buffer": 0, "byteOffset": places.nbytes, "byteLength": corners.nbytes, "target": _INDICES},
        ],
        "buffers": [{"byteLength": len(binary)}],
    }
    text = canonical(scene).encode("ascii")
    chunks = _chunk(b"JSON", text, filler=b" ") + _chunk(b"BIN\0", binary, filler=b"\0")
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _chunk(kind: bytes, data: bytes, *, filler: bytes) -> bytes:
    whole = data + filler * (-len(data) % 4)
    return struct.pack("<I", len(whole)) + kind + whole

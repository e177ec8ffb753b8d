"""Surfaces of regions, as triangles in the patient's coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from medpipe.contracts.images import ViewFile
from medpipe.errors import Rejected
from medpipe.kernels.mesh import Mesh, mesh_area_mm2, mesh_volume_mm3, surface_mesh
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.ops.slices import along_affine
from medpipe.ops.views.mesh_files import glb_bytes, stl_bytes
from medpipe.types import Geometry, Region, Volume


@register("views")
@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """Makes a closed surface of each region by marching cubes, in LPS mm, as binary STL or glTF.

    The surface lies half-way between voxels of the region and others.
    """

    name: ClassVar[str] = "surface"
    version: ClassVar[int] = 1
    uses_regions: ClassVar[bool] = True

    regions: tuple[str, ...] = parameter((), doc="Names of the regions; all if empty.")
    format: Literal["stl", "glb"] = parameter("stl", doc="Binary STL, or binary glTF (GLB).")

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of masks as numbers, and of triangles, for a region as large as the image."""
        z, y, x = geometry.spatial_shape
        faces = 4 * (z * y + y * x + x * z)
        return 20 * z * y * x + 400 * faces + (1 << 20)

    def __call__(self, volume: Volume, regions: Sequence[Region]) -> Iterator[ViewFile]:
        """Return a file for each region that has voxels, made one by one.

        Raises
        ------
        Rejected
            ``W_UNPLACED`` for an image without a place, ``S_NO_REGION`` if there is nothing to show.
        """
        if volume.geometry.affine_lps is None:
            raise Rejected("W_UNPLACED")
        shown = [one for one in regions if one.bits.box is not None and one.name in (self.regions or (one.name,))]
        if not shown:
            raise Rejected("S_NO_REGION")
        return (self._file(volume.geometry, one) for one in shown)

    def _file(self, geometry: Geometry, region: Region) -> ViewFile:
        mesh = placed_surface(region, geometry)
        name = f"{region.source}-{region.name}-{region.label}"
        faces = mesh.faces
        data = stl_bytes(mesh.vertices, faces) if self.format == "stl" else glb_bytes(mesh.vertices, faces, name=name)
        facts = {
            "n_vertices": len(mesh.vertices),
            "n_triangles": len(faces),
            "volume_mm3": mesh_volume_mm3(mesh),
            "area_mm2": mesh_area_mm2(mesh),
        }
        return ViewFile(name=f"{name}.{self.format}", data=data, region=region, facts=facts)


def placed_surface(region: Region, geometry: Geometry) -> Mesh:
    """Return the surface of a region that has voxels.

    Parameters
    ----------
    region : Region
    geometry : Geometry
        Of the image, with an affine.

    Returns
    -------
    Mesh
        Vertices (x, y, z) in LPS mm; faces are seen from outside counter-clockwise.
    """
    matrix = geometry.matrix
    assert matrix is not None, "surfaces are made of images with a place"
    mesh = surface_mesh(region.bits.inside, spacing_mm=(1.0, 1.0, 1.0))
    places = mesh.vertices + np.array(region.bits.start)
    places[:, 0] = along_affine(places[:, 0], geometry)
    points = places[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]
    is_inside_out = _signed_volume(points, mesh.faces) < 0.0
    return Mesh(vertices=points, faces=mesh.faces[:, ::-1].copy() if is_inside_out else mesh.faces)


def _signed_volume(points: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    a, b, c = (points[faces[:, corner]] - points.mean(axis=0) for corner in range(3))
    return math.fsum(np.einsum("ij,ij->i", a, np.cross(b, c)))

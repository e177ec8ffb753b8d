"""NIfTI and NRRD files made on the spot, by nibabel and by hand, and read the way the archive reads them."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np

from medpipe.archive.assemble import assemble
from medpipe.archive.header import Header
from medpipe.archive.other.door import read_any
from medpipe.archive.voxels import load_volume

AFFINE = np.array([[-0.75, 0, 0, 90], [0, -0.5, 0, 120], [0, 0, 2.5, -70], [0, 0, 0, 1]])
SIGNS = {
    "left-posterior-superior": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
}


def voxels(shape=(7, 6, 5), dtype=np.int16):
    """Return voxels (x, y, z, ...) of every value a type holds, more or less."""
    rng = np.random.default_rng(sum(shape))
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 1000, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -(1 << 20)), min(info.max, 1 << 20), shape, endpoint=True).astype(dtype)


def nifti(data, affine=AFFINE, *, image=nib.Nifti1Image, packed=False, order="<", **fields):
    """Return the bytes of a NIfTI file; fields by keyword are put into its header as they are."""
    made = image(data, affine, header=image.header_class(endianness=order), dtype=data.dtype)
    made.header.set_xyzt_units("mm", "sec")
    made.set_sform(affine, 1)
    made.set_qform(None, 0)
    made.header["scl_slope"], made.header["scl_inter"] = 1, 0
    raw = bytearray(made.to_bytes())
    for name, value in fields.items():
        field = made.header.template_dtype.fields[name]
        kind = field[0].newbyteorder(order)
        raw[field[1] : field[1] + kind.itemsize] = (
            np.asarray(value, dtype=kind.base).tobytes().ljust(kind.itemsize, b"\0")
        )
    return gzip.compress(bytes(raw), mtime=0) if packed else bytes(raw)


def nrrd(array, affine, *, space="left-posterior-superior", encoding="raw", lines=(), kinds=None, skip=b""):
    """Return the bytes of a NRRD file of an array (z, y, x) whose affine is in LPS, or of any without one."""
    head = ["NRRD0004", "# made by hand", f"type: {array.dtype.name.replace('float32', 'float')}"]
    head += [f"dimension: {array.ndim}", f"sizes: {' '.join(map(str, array.shape[::-1]))}"]
    head += ["endian: little", f"encoding: {encoding}"]
    if affine is not None:
        own = affine[:3] * np.array(SIGNS[space])[:, None]
        vectors = [f"({','.join(map(repr, map(float, own[:, axis])))})" for axis in range(4)]
        directions = list(vectors[:3])
        for axis, kind in enumerate(kinds or ()):
            if kind not in {"domain", "space"}:
                directions.insert(axis, "none")
        head += [f"space: {space}", f"space directions: {' '.join(directions)}", f"space origin: {vectors[3]}"]
    if kinds:
        head.append(f"kinds: {' '.join(kinds)}")
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    packed = gzip.compress(data, mtime=0) if encoding == "gzip" else data
    return "\n".join([*head, *lines, "", ""]).encode() + skip + packed


def header_of(data, path="a") -> Header:
    """Return the header of a file's bytes."""
    return read_any(data, path=path, size=len(data), version="1")


def read(data):
    """Return header, stack and volume (None where refused) of a file's bytes."""
    header = header_of(data)
    (stack,) = assemble([header]).stacks
    if stack.refused:
        return header, stack, None
    volume, _ = load_volume(stack, {"a": header}, lambda _: data)
    return header, stack, volume


def placed(data, affine_ras):
    """Return what an array (x, y, z, ...) with a RAS affine is in (..., z, y, x) and LPS, by arithmetic alone."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_ras
    if np.linalg.det(affine[:3, :3]) < 0:
        data = data[:, :, ::-1]
        affine = affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, data.shape[2] - 1], [0, 0, 0, 1.0]])
    return np.moveaxis(data, (0, 1, 2), (-1, -2, -3)), affine

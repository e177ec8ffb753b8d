"""What an op may not do: make of a number what is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from medpipe.contracts.protocols import Halo, ImageOp
from medpipe.errors import Rejected
from medpipe.kernels.finite import is_finite
from medpipe.types import Array, Volume
from medpipe.xp import backend_of


@contextmanager
def named(op: ImageOp) -> Iterator[None]:
    """Name an op in what is refused within: of a chain a row tells which one it was."""
    try:
        yield
    except Rejected as rejected:
        rejected.op = rejected.op or op.name
        raise


def applied(op: ImageOp, volume: Volume, *, kept: slice = slice(0, None)) -> Volume:
    """Return what an op makes of a volume.

    Parameters
    ----------
    op : ImageOp
    volume : Volume
    kept : slice
        Planes of the result that are looked at; what becomes of the others does not matter.

    Raises
    ------
    Rejected
        What the op says, or :func:`refuse_unfinite` of its result; names the op.
    """
    with named(op):
        done = op(volume)
    refuse_unfinite(op, volume, done.data[..., kept, :, :], first=kept.start)
    return done


def refuse_unfinite(op: ImageOp, given: Volume, made: Array, *, first: int = 0) -> None:
    """Refuse a result with NaN or an infinity where no missing voxel explains it.

    A missing voxel may be missing in whatever the op's halo reaches; of an op that looks at the whole volume, or
    moves voxels to another grid, anywhere.

    Parameters
    ----------
    op : ImageOp
    given : Volume
        What the op was given.
    made : array
        What it made of that: all of it, or some planes.
    first : int
        The first of these planes among those that were given.

    Raises
    ------
    Rejected
        ``E_OP_NONFINITE``; names the op.
    """
    if is_finite(made):
        return
    halo = op.halo(given.geometry)
    if halo is None:
        is_told = not is_finite(given.data)
    else:
        low = max(first - halo[0], 0)
        last = first + made.shape[-3]
        told = _reached(given.data[..., low : last + halo[0], :, :], halo)[..., first - low : last - low, :, :]
        is_told = not bool((~backend_of(made).xp.isfinite(made) & ~told).any())
    if not is_told:
        raise Rejected("E_OP_NONFINITE", op=op.name)


def _reached(x: Array, halo: Halo) -> Array:
    """Return where a voxel that is missing lies within a halo."""
    backend = backend_of(x)
    size = (*(1 for _ in x.shape[:-3]), *(2 * reach + 1 for reach in halo))
    missing = (~backend.xp.isfinite(x)).astype(backend.xp.uint8)
    near: Array = backend.ndi.maximum_filter(missing, size=size, mode="constant", cval=0) > 0
    return near

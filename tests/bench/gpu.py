"""Denoisers on a device, beside the least time it can take: its bandwidth, or its arithmetic.

A floor is work, not a figure from a data sheet: in the same run a kernel moves the bytes that a body has to read and
write, or does as many operations as the body, and nothing else. The one that takes longer is the body's floor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medpipe.errors import ConfigError
from medpipe.kernels.alike import part_of_a_thread
from medpipe.kernels.bilateral import bilateral, bilateral_radius, window_voxels
from medpipe.kernels.gaussian import gaussian, gaussian_radius
from medpipe.kernels.median import median
from medpipe.kernels.nlm import non_local_means
from medpipe.kernels.total_variation import total_variation
from medpipe.xp import resolve_device
from tests.bench.denoise import largest
from tests.bench.paired import Bench, Clock, Skipped

SHAPE = (192, 512, 512)
"""More than the caches of a device hold."""

MEDIAN_ORDERS = 92.0
"""Minima and maxima a voxel: 50 that sort nine, half of 48 that merge two nines, 18 that pick."""

_TIMES = 5
"""What is done in one lap, so that a launch weighs little."""

_THREADS = 256
_PARTS = 4
_AT_ONCE = 8
_ORDERS_AT_ONCE = 16
_BLOCKS = 1 << 14
_UNIT = (1.0, 1.0, 1.0)


class Work(NamedTuple):
    """What a body does a voxel.

    Attributes
    ----------
    n_bytes : float
        Read and written, each array once in every pass.
    operations : float
        Additions, products, roots, exponentials; a product that is added counts once.
    orders : float
        Minima and maxima, where the body does little else.
    """

    n_bytes: float
    operations: float = 0.0
    orders: float = 0.0


class Case(NamedTuple):
    """A body, what it does, and how far it may be from the host's."""

    work: Work
    kernel: Callable[[Any], Any]
    tolerance: float


def tv_work(iterations: int) -> Work:
    """Return what total variation does: a step reads the image and three fields and writes three."""
    steps = iterations - 1
    # three images made again, three slopes, their length, three fields
    return Work(n_bytes=28.0 * steps + 20.0 + 12.0, operations=(18.0 + 3.0 + 5.0 + 4.0 + 9.0) * steps + 6.0)


def alike_work(halves: tuple[int, int, int], reaches: tuple[int, int, int], shape: tuple[int, int, int]) -> Work:
    """Return what means over what looks alike do; squares are shared by the voxels of a thread."""
    planes, rows = part_of_a_thread(shape, halves)
    deep, high = (planes + 2 * halves[0]) / planes, (rows + 2 * halves[1]) / rows
    sums = deep * 2 * halves[1] + 2 * halves[0] + 2 * halves[2]
    # scaled, cut off, exponential, made less by distance, and added to both sums
    each = 2 * deep * high + sums + 6
    return Work(n_bytes=16.0, operations=each * (window_voxels(reaches) - 1) + 3)


def gaussian_work(radius: tuple[int, int, int]) -> Work:
    """Return what a Gaussian does: a pass along each axis, a pair of voxels a step."""
    return Work(n_bytes=8.0 * len(radius), operations=float(sum(1 + 3 * reach for reach in radius)))


def cases(shape: tuple[int, int, int]) -> Mapping[str, Case]:
    """Return the bodies that are measured."""
    nlm = {"patch_size": 3, "distance": 3, "h": 30.0, "sigma": 30.0, "rician": False}
    near = {"sigma_mm": 1.0, "sigma_value": 60.0, "spacing_mm": _UNIT}
    radius = gaussian_radius(sigma_mm=1.0, spacing_mm=_UNIT)
    window = bilateral_radius(sigma_mm=1.0, spacing_mm=_UNIT, shape=shape)
    return {
        "median 3x3x3": Case(Work(n_bytes=8.0, orders=MEDIAN_ORDERS), lambda x: median(x, size=3), 0.0),
        "tv chambolle, 20 steps": Case(tv_work(20), lambda x: total_variation(x, weight=60.0, iterations=20), 0.0),
        "nlm, patch 3, distance 3": Case(
            alike_work((1, 1, 1), (3, 3, 3), shape), lambda x: non_local_means(x, **nlm), 1e-4
        ),
        "bilateral 1 mm": Case(alike_work((0, 0, 0), window, shape), lambda x: bilateral(x, **near), 1e-4),
        "gaussian 1 mm": Case(gaussian_work(radius), lambda x: gaussian(x, sigma_mm=1.0, spacing_mm=_UNIT), 0.0),
    }


class Floors:
    """Kernels that do nothing but move bytes, multiply and add, or put values in order, and how fast they are.

    Parameters
    ----------
    cupy : module
    voxels : int
        Of the largest array that is moved in one go.
    """

    def __init__(self, cupy: Any, voxels: int) -> None:
        code = Path(__file__).with_name("floors.cu").read_text(encoding="utf-8")
        self._cupy = cupy
        self._copy, self._adds, self._orders = (
            cupy.RawKernel(code, name) for name in ("copy", "multiply_adds", "orders")
        )
        self._source = cupy.ones(voxels, dtype=cupy.float32)
        self._target = cupy.zeros(voxels, dtype=cupy.float32)
        self._sums = cupy.zeros(_BLOCKS * _THREADS, dtype=cupy.float32)

    def move(self, n_bytes: float) -> None:
        """Read half of so many bytes and write half."""
        left = int(n_bytes) // 8
        while left > 0:
            n = min(left, self._source.size)
            blocks = -(-n // (_PARTS * _THREADS))
            self._copy((blocks,), (_THREADS,), (self._source, self._target, np.int64(n)))
            left -= n

    def multiply_and_add(self, operations: float) -> None:
        """Do so many operations."""
        blocks, rounds = _rounds(operations, _AT_ONCE)
        self._adds((blocks,), (_THREADS,), (self._sums, np.float32(0.999), np.float32(0.001), np.int32(rounds)))

    def put_in_order(self, orders: float) -> None:
        """Make so many minima and maxima."""
        blocks, rounds = _rounds(orders, _ORDERS_AT_ONCE)
        self._orders((blocks,), (_THREADS,), (self._sums, np.float32(-1.0), np.int32(rounds)))

    def of(self, work: Work, voxels: int) -> tuple[str, Callable[[], None]]:
        """Return the floor of a body over so many voxels: what it consists of, and the work."""
        floors: dict[str, Callable[[], None]] = {
            f"{work.n_bytes:g} bytes a voxel": lambda: self.move(work.n_bytes * voxels)
        }
        if work.operations:
            floors[f"{work.operations:g} operations a voxel"] = lambda: self.multiply_and_add(work.operations * voxels)
        if work.orders:
            floors[f"{work.orders:g} minima and maxima a voxel"] = lambda: self.put_in_order(work.orders * voxels)
        name = max(floors, key=lambda one: self._seconds(floors[one]))
        return name, floors[name]

    def _seconds(self, work: Callable[[], None]) -> float:
        work()
        clock = device_clock(self._cupy)
        start_s = clock.read_s()
        work()
        return clock.read_s() - start_s


def _rounds(operations: float, at_once: int) -> tuple[int, int]:
    """Return blocks and rounds of threads that together do so many operations, or hardly more."""
    wanted = -(-int(operations) // (_THREADS * at_once))
    blocks = min(wanted, _BLOCKS)
    return blocks, -(-wanted // blocks)


def device_clock(cupy: Any) -> Clock:
    """Return a clock that is read once the device has done all it was given."""

    def read_s() -> float:
        cupy.cuda.Device().synchronize()
        return time.perf_counter()

    return Clock("device", read_s)


def thorax(shape: tuple[int, int, int]) -> np.ndarray:
    """Return steps of tissue with noise, in HU."""
    rng = np.random.default_rng(5)
    z, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    body = np.where((z // 16 + y // 24 + x // 40) % 2 == 0, 40.0, -850.0).astype(np.float32)
    return np.asarray(body + 30 * rng.standard_normal(shape, dtype=np.float32), np.float32)


def benches(folder: Path, shape: tuple[int, int, int] = SHAPE) -> Iterator[Bench | Skipped]:
    """Yield the comparisons; without a device, why there are none."""
    try:
        resolve_device("cuda")
    except ConfigError as error:
        yield Skipped(subject="gpu", reason=str(error))
        return
    import cupy

    image = thorax(shape)
    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
    floors, on_device = Floors(cupy, image.size), cupy.asarray(image)
    for subject, case in cases(shape).items():
        expected = case.kernel(image)
        floor, least = floors.of(case.work, image.size)
        yield Bench(
            subject=f"gpu {subject}",
            size=f"{'x'.join(map(str, shape))} float32",
            ours=lambda case=case: [case.kernel(on_device) for _ in range(_TIMES)][-1],
            peer=f"floor: {floor}",
            theirs=lambda least=least: [least() for _ in range(_TIMES)][-1],
            # what comes back from the device is compared with what the host makes
            difference=lambda made, _, expected=expected: largest(made.get(), expected),
            tolerance=case.tolerance * float(np.ptp(image)),
            clock=device_clock(cupy),
            items=_TIMES * image.size,
            item="voxel",
            remark=lambda *_: name,
        )

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from medpipe.errors import IntegrityError, SecurityError
from medpipe.lake.lake import Lake
from medpipe.lake.manifest import read_manifest, verify_folder
from medpipe.lake.volumes import SHARD_BYTES, chunk_shape, open_array, put_volume, read_volume, shard_shape
from medpipe.types import Geometry, Volume

KEY = "ab" * 32


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((5, 7, 9), "zyx"), ((1, 60, 70), "zyx"), ((4, 3, 8, 8), "tzyx"), ((3, 1, 20, 10), "czyx"), ((1, 1, 1), "zyx")],
)
@pytest.mark.parametrize("scale", [1.0, 0.37])
def test_a_volume_comes_back_as_it_was(lake, make_volume, shape, axes, scale):
    volume = make_volume(shape=shape, axes=axes)
    volume = volume.with_data(volume.data * np.float32(scale))
    row = put_volume(lake, KEY, volume)
    back = read_volume(lake, row["store"])
    assert back.data.dtype == np.float32
    np.testing.assert_array_equal(back.data, volume.data)
    assert back.geometry == volume.geometry
    assert (back.unit, back.modality, back.verdict) == ("HU", "CT", "regular")
    assert row["shape"] == list(shape)
    assert row["dtype"] == ("int16" if scale == 1 else "float32")
    assert row["store"] == f"objects/ab/{KEY}"


def test_missing_values_signs_and_unknown_geometry_come_back(lake):
    data = np.zeros((2, 3, 4), np.float32)
    data[0, 0, 0], data[1] = np.nan, -0.0
    geometry = Geometry(shape=data.shape, slice_positions_mm=(0.0, 2.5))
    row = put_volume(lake, KEY, Volume(data=data, geometry=geometry, verdict="uneven"))
    back = read_volume(lake, row["store"])
    np.testing.assert_array_equal(back.data.view(np.uint32), data.view(np.uint32))
    assert back.geometry == geometry


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.uint8, np.int32, np.float64, bool])
def test_every_kind_of_number_comes_back_as_float32(lake, make_volume, kind):
    data = np.random.default_rng(0).integers(0, 2 if kind is bool else 200, (3, 4, 5)).astype(kind)
    row = put_volume(lake, KEY, make_volume(data))
    np.testing.assert_array_equal(read_volume(lake, row["store"]).data, data.astype(np.float32))
    assert row["dtype"] == "int16"


def test_a_plain_zarr_reader_gets_the_values_by_the_documented_formula(lake, make_volume):
    volume = make_volume(np.arange(0, 65536, 8, dtype=np.float32).reshape(8, 32, 32))
    row = put_volume(lake, KEY, volume, attrs={"image": "original", "scale": 5})
    group = zarr.open_group(str(lake.root / row["store"]), mode="r")
    how = group.attrs["medpipe"]
    assert (how["unit"], how["image"], how["offset"]) == ("HU", "original", 32768.0)
    assert tuple(how["affine_lps"]) == volume.geometry.affine_lps
    values = (group["0"][...].astype("f8") * how["scale"] + how["offset"]).astype("f4")
    np.testing.assert_array_equal(values, volume.data)


def test_ome_zarr_reads_it_with_the_right_spacing_and_origin(lake, make_volume):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    volume = make_volume()
    row = put_volume(lake, KEY, volume)
    (node,) = Reader(parse_url(str(lake.root / row["store"]), mode="r"))()
    np.testing.assert_array_equal(np.asarray(node.data[0]), volume.data)
    assert [axis["name"] for axis in node.metadata["axes"]] == ["z", "y", "x"]
    assert {axis["unit"] for axis in node.metadata["axes"]} == {"millimeter"}
    scale, translation = node.metadata["coordinateTransformations"][0]
    assert scale["scale"] == [3.0, 0.5, 0.25]
    assert translation["translation"] == [30.0, -20.0, -10.0]


@pytest.mark.parametrize(("shape", "axes"), [((5, 7, 9), "zyx"), ((4, 3, 8, 8), "tzyx"), ((3, 2, 8, 8), "czyx")])
def test_ngff_zarr_reads_it_with_the_right_spacing_and_origin(lake, make_volume, shape, axes):
    import ngff_zarr

    volume = make_volume(shape=shape, axes=axes)
    row = put_volume(lake, KEY, volume)
    image = ngff_zarr.from_ngff_zarr(str(lake.root / row["store"])).images[0]
    np.testing.assert_array_equal(np.asarray(image.data), volume.data)
    assert tuple(image.dims) == tuple(axes)
    assert [image.scale[name] for name in "zyx"] == [3.0, 0.5, 0.25]
    assert [image.translation[name] for name in "zyx"] == [30.0, -20.0, -10.0]


def test_its_metadata_is_valid_ome_zarr(lake, make_volume):
    from ome_zarr_models.v05 import Image

    row = put_volume(lake, KEY, make_volume(shape=(4, 3, 8, 8), axes="tzyx", affine=False))
    image = Image.from_zarr(zarr.open_group(str(lake.root / row["store"]), mode="r"))
    assert image.attributes.ome.version == "0.5"


def test_the_same_volume_gives_the_same_bytes(tmp_path, secret, make_volume):
    data = np.random.default_rng(3).normal(size=(70, 80, 90)).astype(np.float32)
    found = []
    for name in ("one", "two"):
        lake = Lake.create(tmp_path / name, privacy="pseudonymized", secret=secret)
        found.append(content(lake.root / put_volume(lake, KEY, make_volume(data))["store"]))
    assert found[0] == found[1]
    assert len(found[0]) == 4


def test_writers_racing_on_one_key_leave_one_whole_volume(lake, make_volume):
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda _: put_volume(lake, KEY, make_volume()), range(6)))
    assert all(row == rows[0] for row in rows)
    verify_folder(lake.store, rows[0]["store"])
    assert list(lake.store.list("tmp")) == []


def test_other_bytes_under_one_key_are_an_alarm(lake, make_volume):
    put_volume(lake, KEY, make_volume())
    with pytest.raises(IntegrityError, match="two computations of one key"):
        put_volume(lake, KEY, make_volume(np.zeros((5, 7, 9), np.float32)))
    assert list(lake.store.list("tmp")) == []


def test_an_array_opens_without_being_read(lake, make_volume):
    volume = make_volume()
    row = put_volume(lake, KEY, volume, chunks=(2, 4, 100))
    array, how = open_array(lake, row["store"])
    assert array.chunks == (2, 4, 9)
    np.testing.assert_array_equal(array[2] * how["scale"] + how["offset"], volume.data[2])


def test_the_manifest_finds_every_altered_added_or_missing_file(lake, make_volume):
    path = put_volume(lake, KEY, make_volume())["store"]
    assert [entry.path for entry in read_manifest(lake.store, path)] == ["0/c/0/0/0", "0/zarr.json", "zarr.json"]
    chunk = lake.store.absolute(path) / "0/c/0/0/0"
    whole = chunk.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), None):
        chunk.unlink() if damaged is None else chunk.write_bytes(damaged)
        with pytest.raises(IntegrityError):
            verify_folder(lake.store, path)
    chunk.write_bytes(whole)
    verify_folder(lake.store, path)
    (chunk.parent / "1").touch()
    with pytest.raises(IntegrityError):
        verify_folder(lake.store, path)


def test_what_is_not_there_or_outside_is_refused(lake, tmp_path):
    with pytest.raises(IntegrityError):
        read_volume(lake, f"objects/ab/{KEY}")
    with pytest.raises(SecurityError):
        read_volume(lake, "../elsewhere")


@pytest.mark.parametrize(
    "geometry",
    [Geometry(shape=(5, 7, 9), axes="xyz"), Geometry(shape=(5, 7, 8)), Geometry(shape=(5, 7, 9), axes="tzyx")],
)
def test_an_array_that_does_not_fit_its_geometry_is_refused(lake, geometry):
    with pytest.raises(IntegrityError):
        put_volume(lake, KEY, Volume(data=np.zeros((5, 7, 9), np.float32), geometry=geometry))


@given(st.tuples(st.integers(1, 8), st.integers(1, 2000), st.integers(1, 5000), st.integers(1, 5000)))
def test_chunks_and_shards_are_of_sensible_size(shape):
    chunks = chunk_shape(shape)
    shards = shard_shape(shape, chunks, 2)
    assert chunks[0] == 1
    assert math.prod(chunks) <= 1 << 18
    assert all(shard % chunk == 0 for shard, chunk in zip(shards, chunks, strict=True))
    for size, chunk, shard in zip(shape, chunks, shards, strict=True):
        assert chunk <= size
        assert shard < size + chunk
    least = math.prod(chunks[:-1]) * shards[-1] * 2
    assert math.prod(shards) * 2 <= max(SHARD_BYTES, least)


def test_a_usual_stack_is_a_few_files_of_64_cubed_chunks():
    assert chunk_shape((512, 512, 512)) == (64, 64, 64)
    assert shard_shape((120, 512, 512), chunk_shape((120, 512, 512)), 2) == (120, 512, 512)
    assert shard_shape((512, 512, 512), chunk_shape((512, 512, 512)), 2) == (128, 512, 512)


def test_very_wide_planes_are_cut_along_their_rows():
    shape = (200, 4096, 4096)
    assert shard_shape(shape, chunk_shape(shape), 2) == (50, 144, 4104)

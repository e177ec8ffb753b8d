import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.errors import IntegrityError, LakeError, StoppedError
from medpipe.keys import bytes_digest, canonical
from medpipe.lake.segments import (
    SegmentWriter,
    decode_segment,
    encode_segment,
    list_segments,
    read_lines,
    read_segment,
    results_in,
)


def keys(results):
    return [result.case.case_key for result in results]


def everything(lake):
    return [result for name in list_segments(lake) for result in read_segment(lake, name)]


def test_results_come_back_in_the_order_they_came(lake, make_result):
    results = [make_result(number) for number in range(5)]
    with SegmentWriter(lake, "run-1", "writer-1") as writer:
        for result in results:
            writer.add(result)
        assert list_segments(lake) == []
    assert everything(lake) == results


def test_a_name_carries_run_writer_number_count_and_digest(lake, make_result):
    with SegmentWriter(lake, "run-1", "host.pid-7") as writer:
        for number in range(3):
            writer.add(make_result(number))
    (name,) = list_segments(lake)
    found = bytes_digest(lake.store.get(name))[:32]
    assert name == f"objects/segments/run-1/host.pid-7.000001.3.{found}.jsonl.zst"
    assert results_in(name) == 3


def test_lines_are_the_results_unparsed(lake, make_result):
    results = [make_result(number) for number in range(3)]
    with SegmentWriter(lake, "run-1", "w") as writer:
        for result in results:
            writer.add(result)
    lines = read_lines(lake, *list_segments(lake))
    assert [line.decode() for line in lines] == [canonical(result.to_json()) + "\n" for result in results]


def test_a_name_with_another_count_or_none_is_refused(lake, make_result):
    with SegmentWriter(lake, "run-1", "w") as writer:
        writer.add(make_result(1))
    (name,) = list_segments(lake)
    for other in (name.replace(".1.", ".2."), name.replace(".1.", ".x."), name.replace("w.000001.1.", "")):
        lake.store.absolute(name).rename(lake.store.absolute(other))
        with pytest.raises(IntegrityError, match="torn or altered"):
            read_segment(lake, other)
        lake.store.absolute(other).rename(lake.store.absolute(name))
    assert len(read_segment(lake, name)) == 1


def test_a_segment_that_is_gone_is_an_alarm(lake, make_result):
    with SegmentWriter(lake, "run-1", "w") as writer:
        writer.add(make_result(1))
    (name,) = list_segments(lake)
    lake.store.absolute(name).unlink()
    with pytest.raises(IntegrityError, match="gone"):
        read_segment(lake, name)


def test_a_full_segment_is_sealed_at_once(lake, make_result):
    writer = SegmentWriter(lake, "run-1", "w", most_cases=4)
    for number in range(9):
        writer.add(make_result(number))
    assert [len(read_segment(lake, name)) for name in list_segments(lake)] == [4, 4]
    writer.close()
    assert len(everything(lake)) == 9


def test_a_segment_is_sealed_in_time_without_another_result(lake, make_result):
    writer = SegmentWriter(lake, "run-1", "w", most_s=0.05)
    writer.add(make_result(1))
    end = time.monotonic() + 5
    while not list_segments(lake) and time.monotonic() < end:
        time.sleep(0.01)
    assert len(everything(lake)) == 1
    writer.add(make_result(2))
    writer.close()
    assert len(everything(lake)) == 2


def test_many_threads_lose_nothing_and_double_nothing(lake, make_result):
    with SegmentWriter(lake, "run-1", "w", most_cases=7, most_s=0.02) as writer, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: writer.add(make_result(number)), range(100)))
    assert sorted(keys(everything(lake))) == sorted(keys(map(make_result, range(100))))


def test_an_empty_flush_writes_nothing_and_a_closed_writer_takes_nothing(lake, make_result):
    writer = SegmentWriter(lake, "run-1", "w")
    writer.flush()
    writer.close()
    writer.close()
    assert list_segments(lake) == []
    with pytest.raises(LakeError):
        writer.add(make_result(1))


def test_a_seal_that_failed_in_the_background_is_told_and_loses_nothing(lake, make_result, monkeypatch):
    failed = threading.Event()
    real = lake.store.put_if_absent

    def full(*_arguments):
        failed.set()
        raise StoppedError("no space")

    monkeypatch.setattr(lake.store, "put_if_absent", full)
    writer = SegmentWriter(lake, "run-1", "w", most_s=0.01)
    writer.add(make_result(1))
    assert failed.wait(5)
    time.sleep(0.05)
    with pytest.raises(StoppedError):
        writer.add(make_result(2))
    monkeypatch.setattr(lake.store, "put_if_absent", real)
    writer.close()
    assert keys(everything(lake)) == keys([make_result(1)])


@settings(max_examples=20)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_what_is_encoded_decodes(make_result, numbers):
    results = [make_result(number) for number in numbers]
    assert decode_segment(encode_segment(results), "x") == results


def test_every_torn_or_altered_segment_is_found(lake, make_result):
    data = encode_segment([make_result(1), make_result(2)])
    damages = [data[:place] for place in range(len(data))]
    damages += [data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :] for place in range(len(data))]
    silent = 0
    for damaged in damages:
        try:
            # A bit of a frame's header may mean nothing; what is read must then be right.
            silent += decode_segment(damaged, "x") == [make_result(1), make_result(2)]
        except IntegrityError:
            continue
    assert silent <= 4


def test_a_file_that_does_not_fit_its_name_is_refused(lake, make_result):
    with SegmentWriter(lake, "run-1", "w") as writer:
        writer.add(make_result(1))
    (name,) = list_segments(lake)
    path = lake.store.absolute(name)
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], encode_segment([make_result(2)])):
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError, match="torn or altered"):
            read_segment(lake, name)


def test_a_segment_without_its_trailer_is_torn(make_result):
    import pyarrow as pa

    text = pa.CompressedInputStream(pa.BufferReader(encode_segment([make_result(1), make_result(2)])), "zstd").read()
    for cut in (text.rsplit(b"\n", 2)[0] + b"\n", text.split(b"\n", 1)[1], b"", b"null\n"):
        with pytest.raises(IntegrityError):
            decode_segment(pa.compress(cut, codec="zstd", asbytes=True), "x")

from __future__ import annotations

import random
from itertools import pairwise

from medpipe.plan.shards import LEAST_CASES, MOST_WEIGHT, Packer, memory_class, shard_size


def packed(sizes, *, size, weight=1):
    packer = Packer(size=size)
    full = [packer.add(number, projected_bytes=value, weight=weight) for number, value in enumerate(sizes)]
    return [one for one in full if one is not None], list(packer.rest())


def test_every_case_is_in_one_shard_of_its_memory():
    rng = random.Random(1)
    sizes = [rng.randrange(1, 1 << 34) for _ in range(2000)]
    full, rest = packed(sizes, size=7)
    assert sorted(number for shard in full + rest for number in shard.items) == list(range(2000))
    assert all(len(shard.items) == 7 for shard in full)
    assert all(memory_class(sizes[number]) == shard.memory_class for shard in full for number in shard.items)
    assert all(memory_class(sizes[shard.items[0]]) == shard.memory_class for shard in rest)
    left = [memory_class(sizes[number]) for shard in rest for number in shard.items]
    assert left == sorted(left, reverse=True)
    assert all(len(shard.items) <= 7 for shard in rest)


def test_a_small_run_has_one_shard_whatever_its_cases_need():
    full, rest = packed([1 << 20, 1 << 30, 1 << 25, 3 << 28], size=256)
    assert full == []
    assert [shard.items for shard in rest] == [[1, 3, 2, 0]]


def test_more_memory_is_never_a_lower_class_and_a_class_spans_a_quarter_at_most():
    sizes = sorted({*range(64), *(int(1.07**step) for step in range(500))})
    classes = [memory_class(size) for size in sizes]
    assert classes == sorted(classes)
    for low, high in pairwise(sizes):
        if memory_class(low) == memory_class(high) and low >= 8:
            assert high / low <= 1.25


def test_a_shard_is_given_out_before_its_payloads_grow_heavy():
    full, _ = packed([5] * 100, size=1000, weight=MOST_WEIGHT // 10 + 1)
    assert {len(shard.items) for shard in full} == {10}


def test_a_large_run_has_some_hundreds_of_shards():
    assert shard_size(0) == shard_size(100_000) == LEAST_CASES
    assert 1_000_000 / shard_size(1_000_000) <= 500

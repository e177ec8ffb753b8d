"""Parquet in memory is read in the thread that asks: one of Arrow's own may outlive the interpreter."""

import subprocess
import sys

import pytest

SCRIPT = """
import io, os
import pyarrow as pa
import pyarrow.parquet as pq
from medpipe.lake.arrow import table_from

sink = io.BytesIO()
pq.write_table(pa.table({f"c{i}": [1] * 50 for i in range(30)}), sink)
before = len(os.listdir("/proc/self/task"))
tables = [table_from(sink.getvalue()) for _ in range(3)]
assert all(table.equals(tables[0]) and table.num_rows == 50 for table in tables)
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
def test_no_thread_is_started():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "0\n"

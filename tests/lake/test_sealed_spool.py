import pytest

from medpipe.errors import SecurityError
from medpipe.lake.sealed_spool import SealedSpool


@pytest.mark.parametrize("limit_bytes", [0, 40, 1 << 20])
def test_lines_come_back_in_order_wherever_they_were_kept(lake, tmp_path, limit_bytes):
    spool = SealedSpool(lake.private, tmp_path / "spool", limit_bytes=limit_bytes)
    for number in range(50):
        spool.add(number % 3, f"line {number}".encode())
    assert spool.numbers() == {0, 1, 2}
    for one in range(3):
        expected = [f"line {number}".encode() for number in range(one, 50, 3)]
        assert list(spool.read(one)) == expected
        assert list(spool.take(one)) == expected
    assert spool.numbers() == set()
    assert list(spool.read(1)) == []


def test_what_is_put_aside_is_sealed(lake, tmp_path):
    spool = SealedSpool(lake.private, tmp_path / "spool", limit_bytes=0)
    spool.add(7, b"SMITH^JOHN")
    spool.add(7, b"SMITH^JANE")
    (file,) = (tmp_path / "spool").iterdir()
    assert b"SMITH" not in file.read_bytes()
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(SecurityError):
        list(spool.read(7))

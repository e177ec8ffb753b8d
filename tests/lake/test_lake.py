import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medpipe.errors import IntegrityError, LakeError, SecurityError, StoppedError
from medpipe.lake.lake import Lake, is_lake
from medpipe.lake.layout import FORMAT_VERSION
from medpipe.privacy.secret import Secret


def test_a_lake_opens_with_its_key_and_tells_what_it_is(lake, secret):
    opened = Lake.open(lake.root, secret=secret)
    assert (opened.privacy, opened.key_id) == ("pseudonymized", secret.key_id)
    assert is_lake(lake.root)
    described = (lake.root / "lake.json").read_text()
    assert json.loads(described)["format_version"] == FORMAT_VERSION
    assert secret.key.hex() not in described


def test_another_key_is_refused(lake):
    with pytest.raises(LakeError, match="was made with key"):
        Lake.open(lake.root, secret=Secret(bytes(32)))


def test_without_a_key_the_private_room_stays_closed(lake):
    opened = Lake.open(lake.root)
    with pytest.raises(SecurityError, match="without its key"):
        _ = opened.private


def test_another_format_version_is_refused(lake, secret):
    path = lake.root / "lake.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": FORMAT_VERSION + 1}))
    with pytest.raises(LakeError, match=f"format version {FORMAT_VERSION + 1}"):
        Lake.open(lake.root, secret=secret)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format_version": 1, "privacy": "none", "key_id": "x"}'])
def test_a_damaged_description_is_refused(lake, secret, text):
    (lake.root / "lake.json").write_text(text)
    with pytest.raises(LakeError, match="damaged"):
        Lake.open(lake.root, secret=secret)


def test_a_folder_with_other_things_is_never_made_a_lake(tmp_path, secret):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(LakeError, match="not empty"):
        Lake.create(tmp_path, privacy="pseudonymized", secret=secret)
    with pytest.raises(LakeError, match="no lake"):
        Lake.open(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["photo.jpg"]


def test_neither_a_file_nor_a_missing_folder_is_a_lake(tmp_path, secret):
    (tmp_path / "file").touch()
    with pytest.raises(LakeError, match="is a file"):
        Lake.create(tmp_path / "file", privacy="pseudonymized", secret=secret)
    for name in ("file", "missing"):
        with pytest.raises(LakeError, match="no lake"):
            Lake.open(tmp_path / name)
    assert not (tmp_path / "missing").exists()


def test_a_lake_is_not_made_twice_nor_with_an_unknown_privacy(lake, secret, tmp_path):
    with pytest.raises(LakeError, match="already"):
        Lake.create(lake.root, privacy="pseudonymized", secret=secret)
    with pytest.raises(LakeError, match="privacy"):
        Lake.create(tmp_path / "other", privacy="none", secret=secret)


def test_what_a_killed_creation_left_is_no_obstacle(tmp_path, secret):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "put.0123456789abcdef").touch()
    assert Lake.create(tmp_path, privacy="identified", secret=secret).privacy == "identified"


def test_there_is_one_driver_and_epochs_count_up(lake):
    assert not lake.is_driven()
    with lake.driver() as first:
        assert lake.is_driven()
        with pytest.raises(StoppedError, match=f"another run is working.*pid {os.getpid()}, host "), lake.driver():
            pass
    with lake.driver() as second:
        assert second == first + 1
    assert not lake.is_driven()


def test_a_killed_driver_leaves_no_lock(lake):
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom medpipe.lake.lake import Lake\n"
        "with Lake.open(Path(sys.argv[1])).driver():\n    print('driving', flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(lake.root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    try:
        assert process.stdout.readline() == "driving\n"
        with pytest.raises(StoppedError), lake.driver():
            pass
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    with lake.driver() as epoch:
        assert epoch == 2


@pytest.mark.parametrize("torn", [b"", b"3 ", b"2 4e07408562bedb8b\n"])
def test_a_torn_epoch_is_an_alarm_and_without_it_numbers_go_on_above_all_there_were(lake, torn):
    path = lake.store.absolute(lake.layout.driver_epoch())
    for _ in range(2):
        with lake.driver():
            pass
    with lake.driver() as last:
        path.write_bytes(torn)
        with pytest.raises(IntegrityError, match="remove it and run again"):
            lake.refuse_if_superseded()
        path.unlink()
        with pytest.raises(StoppedError, match="taken this lake over"):
            lake.refuse_if_superseded()
    path.write_bytes(torn)
    with pytest.raises(IntegrityError, match=r"locks/driver\.epoch.*remove it and run again"), lake.driver():
        pass
    path.unlink()
    with lake.driver() as after:
        pass
    with lake.driver() as more:
        pass
    # many a lake has had more than a thousand drivers: none may be met again
    assert after > 1000 * last
    assert more == after + 1

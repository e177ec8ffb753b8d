"""The command line as its users meet it: a process with arguments, an exit code and two streams."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MEDPIPE = (sys.executable, "-P", "-m", "medpipe")


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str

    def refusal(self):
        """Return the one line a refusal consists of, whatever progress was told before."""
        said = [line for line in self.err.splitlines() if line.startswith("medpipe: ")]
        assert len(said) == 1, self.err
        assert self.err.endswith(said[0] + "\n"), self.err
        assert "Traceback" not in self.err
        assert "a bug" not in said[0]
        assert self.out == ""
        return said[0]


def environment(home):
    """Return an environment whose key lives in a folder of the test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDPIPE_")}
    return {**kept, "XDG_CONFIG_HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1"}


def medpipe(*arguments, home, before=(), cwd=None, timeout_s=120):
    """Run a command to its end; `before` are words that stand before it."""
    done = subprocess.run(
        [*map(str, before), *MEDPIPE, *map(str, arguments)],
        env=environment(home),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def write_key(home, digit="5"):
    """Write a key where a command with this home looks for one."""
    path = Path(home) / "medpipe" / "key"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o600)
    path.write_text(digit * 64 + "\n")
    return path

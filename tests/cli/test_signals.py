"""The exit code when a signal comes at the worst instant; each of these ended a command by the signal itself once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.commands import environment

SAID = "medpipe: interrupted; the same command resumes\n"
STOPS = ("SIGINT", "SIGTERM", "SIGHUP")
BEGIN = """
import atexit, contextlib, os, signal, sys, time
from medpipe.cli import main
def strike(name="{name}"):
    os.kill(os.getpid(), getattr(signal, name))
    time.sleep(0.01)
"""


END = """
if __name__ == "__main__":
    main.main()
"""


def ended(code, name, *, home):
    """Run a module around the command line's entry, as ``-m medpipe`` is; return its exit code and what it said."""
    (home / "struck.py").write_text(BEGIN.replace("{name}", name) + code + END)
    environ = environment(home)
    places = [str(home), *filter(None, [environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "struck"],
        env={**environ, "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", STOPS)
def test_one_that_is_caught_on_its_way_out_of_a_text_that_was_executed(name, tmp_path):
    """As named tuples are made during imports: the interpreter remembers it and would end by SIGINT."""
    code = """
def run(_):
    try:
        exec("strike()", {"strike": strike})
    except KeyboardInterrupt:
        return main._refused("interrupted; the same command resumes", 4)
main.run = run
"""
    assert ended(code, name, home=tmp_path) == (4, SAID)


@pytest.mark.parametrize("name", STOPS)
@pytest.mark.parametrize("outcome", [0, 2])
def test_one_that_comes_while_the_interpreter_goes_down_changes_nothing(name, outcome, tmp_path):
    code = f"main.run = lambda _: {outcome}\natexit.register(strike)"
    assert ended(code, name, home=tmp_path) == (outcome, "")


@pytest.mark.parametrize("name", STOPS)
def test_the_second_ends_a_command_that_does_not_heed_the_first(name, tmp_path):
    code = """
def run(_):
    for _ in range(2):
        with contextlib.suppress(KeyboardInterrupt):
            strike()
    return 0
main.run = run
"""
    assert ended(code, name, home=tmp_path) == (4, SAID)


@pytest.mark.parametrize("name", STOPS)
def test_one_that_comes_to_a_callback_is_not_lost(name, tmp_path):
    code = """
class Struck:
    def __del__(self):
        strike()
main.run = lambda _: bool(Struck())
"""
    assert ended(code, name, home=tmp_path) == (4, SAID)


def test_nothing_that_libraries_left_for_the_end_is_done_after_an_interrupt(tmp_path):
    code = """
def run(_):
    atexit.register(lambda: print("half a cluster", file=sys.stderr))
    strike()
main.run = run
"""
    assert ended(code, "SIGTERM", home=tmp_path) == (4, SAID)


@pytest.mark.slow
def test_one_that_comes_while_a_local_cluster_starts_leaves_its_halves_in_silence(tmp_path):
    code = """
from distributed.nanny import Nanny
from medpipe.engine.dask import DaskEngine
from medpipe.engine.spec import EngineSpec
start = Nanny.start_unsafe
async def struck(nanny):
    strike()
    return await start(nanny)
Nanny.start_unsafe = struck
def run(_):
    DaskEngine(EngineSpec(kind="dask", workers=1, session="m:f", init={}, sink="m:f", sink_init={}))
main.run = run
"""
    assert ended(code, "SIGTERM", home=tmp_path) == (4, SAID)


@pytest.mark.parametrize("name", STOPS)
def test_one_that_comes_while_the_process_replaces_itself_is_kept_for_what_it_becomes(name, tmp_path):
    code = """
from medpipe.cli.signals import signals_held
def run(_):
    with signals_held():
        strike()
        os.execv(sys.executable, [sys.executable, "-P", "-c", "from medpipe.cli import main; main.main(['schema'])"])
main.run = run
"""
    assert ended(code, name, home=tmp_path) == (4, SAID)


def test_signals_are_taken_before_anything_else_is_imported(tmp_path):
    code = """
main.run = lambda _: 0 if "typer" not in sys.modules else 1
"""
    assert ended(code, "SIGINT", home=tmp_path) == (0, "")

"""``make demo``: the demonstration driven by Prefect in its ephemeral mode."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from medpipe.errors import MedpipeError, StoppedError


def main() -> None:
    """Run the demonstration and print what came out."""
    arguments = _arguments()
    out = Path(arguments.out)
    try:
        print("\n".join(_shown(out, arguments.studies)))
    except MedpipeError as error:
        print(f"medpipe: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("medpipe: interrupted; the same command resumes", file=sys.stderr)
        sys.exit(StoppedError.exit_code)


def _shown(out: Path, studies: int) -> list[str]:
    _use_own_server(out.absolute() / "prefect")
    from flows.demo_flow import demo_flow
    from flows.own_server import start_own_server

    start_own_server()
    return demo_flow(str(out), studies)


def _use_own_server(home: Path) -> None:
    """Choose an ephemeral server of the demonstration's own, whatever the user's profile says."""
    home.mkdir(parents=True, exist_ok=True)
    os.environ.pop("PREFECT_API_URL", None)
    os.environ["PREFECT_HOME"] = str(home)
    os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "true"
    if os.environ["PREFECT_LOGGING_LEVEL"] == "WARNING":
        # what goes wrong is told once, by the one line of main
        os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.demo", description=__doc__)
    parser.add_argument("--out", default="demo", help="folder to work in (default: demo)")
    parser.add_argument("--studies", type=int, default=24, help="phantom studies (default: 24)")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""``make demo``: the demonstration driven by Prefect in its ephemeral mode."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from medpipe.errors import MedpipeError


def main() -> None:
    """Run the demonstration and print what came out."""
    arguments = _arguments()
    out = Path(arguments.out)
    # an ephemeral server of the demonstration's own, whatever the user's profile says
    home = out.absolute() / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    os.environ.pop("PREFECT_API_URL", None)
    os.environ["PREFECT_HOME"] = str(home)
    os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "true"
    os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "120"
    from flows.demo_flow import demo_flow

    try:
        print("\n".join(demo_flow(str(out), arguments.studies)))
    except MedpipeError as error:
        print(f"medpipe: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.demo", description=__doc__)
    parser.add_argument("--out", default="demo", help="folder to work in (default: demo)")
    parser.add_argument("--studies", type=int, default=24, help="phantom studies (default: 24)")
    return parser.parse_args()


if __name__ == "__main__":
    main()

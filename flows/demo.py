"""``make demo``: the demonstration driven by Prefect in its ephemeral mode."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def main() -> None:
    """Run the demonstration and print what came out."""
    arguments = _arguments()
    out = Path(arguments.out)
    # an ephemeral server of the demonstration's own, whatever the user's profile says
    os.environ.pop("PREFECT_API_URL", None)
    os.environ["PREFECT_HOME"] = str((out / "prefect").absolute())
    os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "true"
    from flows.demo_flow import demo_flow

    print("\n".join(demo_flow(str(out), arguments.studies)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.demo", description=__doc__)
    parser.add_argument("--out", default="demo", help="folder to work in (default: demo)")
    parser.add_argument("--studies", type=int, default=24, help="phantom studies (default: 24)")
    return parser.parse_args()


if __name__ == "__main__":
    main()

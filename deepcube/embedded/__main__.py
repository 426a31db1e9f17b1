"""``python -m deepcube.embedded --home FOLDER``: serve in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deepcube.embedded.home import default_home
from deepcube.embedded.server import run


def main() -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m deepcube.embedded", description="Serve the embedded Hopsworks.")
    parser.add_argument("--home", type=Path, default=default_home(), help="home folder (default: %(default)s)")
    parser.add_argument("--port", type=int, default=None, help="port of the REST API; 0 chooses a free one")
    parser.add_argument("--project", default=None, help="name of the default project (default: deepcube)")
    arguments = parser.parse_args()
    return run(arguments.home.expanduser().resolve(), arguments.port, arguments.project)


if __name__ == "__main__":
    sys.exit(main())

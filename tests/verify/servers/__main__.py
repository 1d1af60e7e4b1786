"""The command line: `python -m tests.verify.servers install [NAME ...]`."""

from __future__ import annotations

import argparse
import sys

from tests.cluster.layout import ClusterError
from tests.cluster.progress import say
from tests.verify.servers.environments import ENVIRONMENTS, install


def main() -> int:
    """Run the command; a failure is one sentence and exit code 1, Ctrl-C one and 130."""
    root = argparse.ArgumentParser(prog="python -m tests.verify.servers", description="Real model servers for tests.")
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    words = "Install what is missing."
    command = commands.add_parser("install", help=words, description=words)
    command.add_argument("names", nargs="*", metavar="NAME", help=f"default: {', '.join(ENVIRONMENTS)}")
    options = root.parse_args()
    try:
        install(options.names)
    except ClusterError as error:
        say(f"servers: {error}")
        return 1
    except KeyboardInterrupt:
        say("servers: broken off; the same command begins again with the one that was being installed")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

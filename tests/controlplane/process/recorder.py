"""The operator process as shipped, but for the turn: it prints the key. Run as ``python -m``, with two files.

Arguments: settings, kubeconfig. The Lease is wanted as the settings say.
"""

import os
import sys
from pathlib import Path

from controller.observe.cluster import connect
from controller.run.key import Key
from controller.run.lease import lease_name
from controller.run.logs import set_up_logs
from controller.run.process import Process
from controller.run.settings import Settings, read_settings
from controller.run.surroundings import Surroundings
from controller.run.workers import Turn


def record(_settings: Settings, _surroundings: Surroundings) -> Turn:
    """Return a turn that prints its key and wants no other one."""

    def turn(key: Key) -> None:
        os.write(1, f"{key}\n".encode())  # one write is one line, whatever other threads do

    return turn


def main() -> int:
    """Run until SIGTERM."""
    config, kubeconfig = sys.argv[1:]
    os.environ["KUBECONFIG"] = kubeconfig
    settings = read_settings(Path(config))
    set_up_logs(settings.logs)
    lease = lease_name(settings.leader_election)
    return Process(settings, connect(kubeconfig), make_turn=record, lease=lease).run()


if __name__ == "__main__":
    sys.exit(main())

"""A link to the cluster's Prometheus that can be cut or fall silent: ``python -m tests.e2e.link``.

Its input tells it what to do. It runs in the cluster's network, on the node's address, where the pods of the operator
reach it.
"""

import sys

from tests.cluster.network import NODE_ADDRESS
from tests.controlplane.process.relay import Relay

PORT = 19091


def main() -> None:
    """Obey lines of input (``cut``, ``hush``, ``mend``) until it ends."""
    relay = Relay("prometheus.monitoring.svc", 9090, listen=(NODE_ADDRESS, PORT))
    for line in sys.stdin:
        {"cut": relay.cut, "hush": relay.hush, "mend": relay.mend}[line.strip()]()
    relay.close()


if __name__ == "__main__":
    main()

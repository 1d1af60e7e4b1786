"""``python -m controller run``: the operator."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from controller.observe.cluster import ClusterError, connect
from controller.run.assembly import build_turn
from controller.run.lease import lease_name
from controller.run.logs import set_up_logs
from controller.run.process import Process
from controller.run.settings import (
    DEFAULT_PATH,
    LogFormat,
    Settings,
    SettingsError,
    read_settings,
)

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_EPILOG: Final = """\
the settings file, with its defaults (only prometheus is required):

  prometheus:
  - name: default                  # analysis.prometheus.name of a ModelRollout
    url: http://prometheus.monitoring.svc:9090
    scrapeInterval: 15s
    settle: ""                     # after a window's end; default: 2 scrapes + 5 s
    bearerTokenFile: ""
    allowQueries: false            # metrics of kind query
  namespaces: []                   # empty: the whole cluster
  workers: 8
  leaderElection: {enabled: true, name: modelrollout, namespace: ""}   # default: the pod's own namespace
  listen: {address: 0.0.0.0, port: 8081}                               # /metrics /healthz /readyz
  logs: {format: json, level: info}                                    # json | text
"""


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``run`` to the command line."""
    parser = subparsers.add_parser(
        "run",
        help="run the operator",
        description="Run the operator until SIGTERM.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_PATH, metavar="FILE", help="settings file (default: %(default)s)"
    )
    parser.add_argument("--kubeconfig", metavar="FILE", help="how to reach the cluster from outside of it")
    parser.add_argument(
        "--no-leader-election", action="store_true", help="work at once; for a single process, not for several"
    )
    parser.add_argument("--log-format", type=LogFormat, choices=list(LogFormat), help="overrides logs.format")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    try:
        settings = _overridden(read_settings(arguments.config), arguments)
        lease = lease_name(settings.leader_election)
        if arguments.kubeconfig:
            os.environ["KUBECONFIG"] = arguments.kubeconfig  # the one place where kopf looks for it
        cluster = connect(arguments.kubeconfig)
        set_up_logs(settings.logs)
        process = Process(settings, cluster, make_turn=build_turn, lease=lease)
    except (SettingsError, ClusterError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return process.run()


def _overridden(settings: Settings, arguments: argparse.Namespace) -> Settings:
    election, logs = settings.leader_election, settings.logs
    if arguments.no_leader_election:
        election = election.model_copy(update={"enabled": False})
    if arguments.log_format:
        logs = logs.model_copy(update={"format": arguments.log_format})
    return settings.model_copy(update={"leader_election": election, "logs": logs})

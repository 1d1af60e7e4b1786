"""Environments of arms, read from the pod template, pods, nodes, ConfigMaps and, only where opted in, Secrets."""

from controller.observe.environment.reader import EnvironmentOrder, EnvironmentReader

__all__ = ["EnvironmentOrder", "EnvironmentReader"]

"""Reads the world: Prometheus windows, pods and revisions, routes.

Changes nothing; whatever writes to the cluster lives in ``act``.
"""

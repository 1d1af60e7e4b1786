"""The process: work queue, lease, the turn, telemetry, settings and the kopf handlers.

The only room that joins the pure core with the world, and the only one that imports kopf.
"""

"""The demo's show: `python -m examples.demo.show` boots a cluster and lets candidates try to take over, live.

A package of its own, so that the image of the demo's pods, which holds the modules beside it, is not built anew when
nothing but the show changes.
"""

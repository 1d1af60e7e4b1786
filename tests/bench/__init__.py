"""Measurements behind the figures of the documentation; each prints what it measured and how. No tests."""

"""Tests of what is installed, without a cluster."""

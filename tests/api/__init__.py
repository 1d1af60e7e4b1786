"""Tests of what users write and read, without a cluster."""

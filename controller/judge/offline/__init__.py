"""Judging again what was recorded: files of windows and records, replayed window by window.

Only ``judge FILE`` and its likes need this; the operator does not.
"""

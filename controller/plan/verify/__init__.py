"""Verification, the pure part: what is to be proven, what was found, and what follows from it.

Golden answers, environments, reproduced numbers and summaries of Jobs come in as frozen models and JSON values; nothing
is asked, sent or run from here, and no clock is read.
"""

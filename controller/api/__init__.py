"""What the user writes and reads: spec, status, record, conditions and reasons, and the CRDs made from them.

Pure: no clock, no cluster, no network. Everything else in the project imports from here; nothing is imported
from the other rooms.
"""

"""The state machine: spec, status, evidence and the present moment in, one ``Decision`` out.

Pure: time is a parameter, the world comes in as frozen models and is never touched from here.
"""

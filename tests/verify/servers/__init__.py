"""Real model servers for the tests, each in its own environment: installed once, started on loopback, ended by pid.

``python -m tests.verify.servers install`` sets them up; fixtures call it for what is missing.
"""

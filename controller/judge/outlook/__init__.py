"""How long it takes until a verdict: ``forecast``, from the ``course`` that evidence takes in expected windows.

A forecast decides nothing.
"""

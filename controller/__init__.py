"""ModelRollout: a Kubernetes operator that promotes a new ML model, or takes it back, by itself.

The rooms, from left to right; each imports only from those to its left (import-linter holds that):
``api`` (what the user writes and reads), ``judge`` (evidence to verdict), ``plan`` (the state machine),
``observe`` and ``act`` (the world, read and changed), ``run`` (the turn and the process) and ``cli``.
"""

"""Evidence to verdict: pure statistics on counts, valid at every look.

Knows nothing about Kubernetes, Prometheus, time or the state of a rollout; numbers come in, numbers and a
verdict go out.
"""

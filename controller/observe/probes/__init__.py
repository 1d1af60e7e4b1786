"""Requests to the pods of a rollout, and only to them: the bounded HTTP client, the protocols, the smoke test.

Nothing here reads the API server or decides: targets come in as addresses, findings go out.
"""

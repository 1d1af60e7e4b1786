"""Exactly once: many rollouts, several operators, killed between any two writes, on the real API server."""

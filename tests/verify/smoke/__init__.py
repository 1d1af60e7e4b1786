"""The smoke test: comparisons of answers, and all steps against servers on loopback."""

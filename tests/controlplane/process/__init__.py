"""The operator process against the real API server, with a turn that only writes down whose it was."""

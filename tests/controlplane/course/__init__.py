"""The whole operator on a real API server: what it says, how it waits, obeys, ends and tells its story."""

"""What the servers themselves run, with their own interpreters: never imported by the tests."""

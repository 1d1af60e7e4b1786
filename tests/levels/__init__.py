"""All levels of tests in two lanes side by side: ``python -m tests.levels``, which is what ``make test`` runs."""

"""Candidates with one fault each, refused on a real cluster before anyone is served."""

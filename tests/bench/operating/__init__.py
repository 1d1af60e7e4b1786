"""How the judge and its rivals decide on the same simulated traffic; ``operating_characteristics`` puts it together."""

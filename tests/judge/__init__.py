"""The judge: published values, exact enumeration, properties, simulated operating characteristics, the command."""

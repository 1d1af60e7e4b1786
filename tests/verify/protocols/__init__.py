"""The client against pods that misbehave, the protocols against servers written from their specifications."""

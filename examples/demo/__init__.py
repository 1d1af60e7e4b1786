"""The demo: a real classifier in four versions, the traffic that meets it, and what to apply to a cluster."""

"""The demo: a real classifier in several versions, the traffic that meets it, and what to apply to a cluster."""

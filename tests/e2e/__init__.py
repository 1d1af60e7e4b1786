"""What a user sees, on a whole cluster: the installed operator, real models, a real gateway and Prometheus."""

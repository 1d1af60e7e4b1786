"""Jobs of a verification: a pipeline of three components, and a training that is done again.

Each module is one Job: it reads its settings from the environment and reports one JSON object as its termination
message. All of them are deterministic. They train the model `good` of the demo, on the data that scikit-learn ships.
"""

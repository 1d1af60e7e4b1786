"""Carries out the checks that the planner wants: threads for requests to pods, calls for Jobs and environments.

Nothing is decided here, and nothing is written but Jobs and the readiness gate; findings go into the situation.
"""

"""Arithmetic that several rooms share: F1 on arrays, tails of distributions, roots, folds that wait to be read."""

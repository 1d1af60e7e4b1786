"""Save a scikit-learn model as MLflow does: `save_for_mlflow.py FOLDER`."""

import sys

import mlflow.sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

measures, species = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=500).fit(measures, species)
signature = infer_signature(measures, model.predict(measures))
mlflow.sklearn.save_model(model, sys.argv[1], signature=signature, serialization_format="cloudpickle")

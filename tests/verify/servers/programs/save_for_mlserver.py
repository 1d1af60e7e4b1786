"""Save a scikit-learn model where MLServer finds it: `save_for_mlserver.py FOLDER`."""

import json
import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

SETTINGS = {
    "name": "iris",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "platform": "sklearn",
    "inputs": [{"name": "measures", "datatype": "FP64", "shape": [-1, 4]}],
    "outputs": [
        {"name": "predict", "datatype": "INT64", "shape": [-1, 1]},
        {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 3]},
    ],
    "parameters": {"uri": "./model.joblib", "version": "v7"},
    "versions": ["v7"],
}

folder = Path(sys.argv[1])
folder.mkdir()
measures, species = load_iris(return_X_y=True)
joblib.dump(LogisticRegression(max_iter=500).fit(measures, species), folder / "model.joblib")
(folder / "model-settings.json").write_text(json.dumps(SETTINGS))

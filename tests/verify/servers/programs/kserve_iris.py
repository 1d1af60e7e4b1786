"""KServe's ModelServer with a model of its own, in both of its protocols: `kserve_iris.py --http_port N`."""

import uuid

import uvicorn
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.errors import InvalidInput

CENTROIDS = ((5.006, 3.428, 1.462, 0.246), (5.936, 2.77, 4.26, 1.326), (6.588, 2.974, 5.552, 2.026))


def distances(row):
    if not isinstance(row, list) or len(row) != len(CENTROIDS[0]):
        raise InvalidInput(f"each instance must be a list of {len(CENTROIDS[0])} numbers")
    return [sum((a - b) ** 2 for a, b in zip(row, centroid, strict=True)) for centroid in CENTROIDS]


def classify(rows):
    found = [distances(row) for row in rows]
    return [each.index(min(each)) for each in found], found


class OnLoopback(uvicorn.Config):
    """KServe listens on every address of the machine, and has no option for it."""

    def __init__(self, *words, **named):
        super().__init__(*words, **{**named, "host": "127.0.0.1"})


class Iris(Model):
    """The nearest centroid of three."""

    def load(self):
        self.ready = True
        return self.ready

    async def get_input_types(self):
        return [{"name": "measures", "datatype": "FP64", "shape": [-1, 4]}]

    async def get_output_types(self):
        return [
            {"name": "species", "datatype": "INT64", "shape": [-1]},
            {"name": "distances", "datatype": "FP64", "shape": [-1, 3]},
        ]

    async def predict(self, payload, headers=None, response_headers=None):  # noqa: ARG002 - KServe passes them
        if not isinstance(payload, InferRequest):
            if not isinstance(payload, dict) or "instances" not in payload:
                raise InvalidInput("instances is missing")
            return {"predictions": classify(payload["instances"])[0]}
        if len(payload.inputs) != 1:
            raise InvalidInput(f"expected one input, found {len(payload.inputs)}")
        species, found = classify(payload.inputs[0].as_numpy().tolist())
        flat = [number for row in found for number in row]
        outputs = [
            InferOutput(name="species", shape=[len(species)], datatype="INT64", data=species),
            InferOutput(name="distances", shape=[len(found), 3], datatype="FP64", data=flat),
        ]
        # KServe makes up no id, and cannot write an answer without one.
        answered = payload.id or str(uuid.uuid4())
        return InferResponse(response_id=answered, model_name=self.name, infer_outputs=outputs)


if __name__ == "__main__":
    uvicorn.Config = OnLoopback
    model = Iris("iris")
    model.load()
    ModelServer(enable_grpc=False, workers=1).start([model])

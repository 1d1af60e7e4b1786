"""A BentoML service: `bentoml serve bento_iris:Iris`."""

import bentoml

CENTROIDS = ((5.006, 3.428, 1.462, 0.246), (5.936, 2.77, 4.26, 1.326), (6.588, 2.974, 5.552, 2.026))


def nearest(row: list[float]) -> int:
    if len(row) != len(CENTROIDS[0]):
        raise bentoml.exceptions.InvalidArgument(f"each row must have {len(CENTROIDS[0])} numbers")
    found = [sum((a - b) ** 2 for a, b in zip(row, centroid, strict=True)) for centroid in CENTROIDS]
    return found.index(min(found))


@bentoml.service(name="iris", workers=1)
class Iris:
    """The nearest centroid of three."""

    @bentoml.api
    def classify(self, measures: list[list[float]]) -> list[int]:
        return [nearest(row) for row in measures]

"""The protocols of model servers, one file each: which requests are sent, and how the answers are read. Pure.

What each sends, tolerates and reads as identity is told in ``docs/protocols.md``.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from controller.api.verify import Protocol
from controller.observe.probes.protocol import Model, ServerProtocol
from controller.observe.probes.protocols.bento_ml import BentoMl
from controller.observe.probes.protocols.envelope import said
from controller.observe.probes.protocols.kserve_v1 import KServeV1
from controller.observe.probes.protocols.mlflow import MlflowScoring
from controller.observe.probes.protocols.open_ai import OpenAi
from controller.observe.probes.protocols.open_inference import OpenInference
from controller.observe.probes.protocols.plain import Plain
from controller.observe.probes.protocols.tensorflow_serving import TensorFlowServing

__all__ = ["protocol_for", "said"]

_PROTOCOLS: Final[Mapping[Protocol, Callable[[Model], ServerProtocol]]] = MappingProxyType(
    {
        Protocol.OPEN_INFERENCE: OpenInference,
        Protocol.KSERVE_V1: KServeV1,
        Protocol.TENSORFLOW_SERVING: TensorFlowServing,
        Protocol.MLFLOW: MlflowScoring,
        Protocol.BENTO_ML: BentoMl,
        Protocol.OPEN_AI: OpenAi,
        Protocol.PLAIN: Plain,
    }
)


def protocol_for(protocol: Protocol, model: Model) -> ServerProtocol:
    """Return how to speak to a server of that protocol about that model."""
    return _PROTOCOLS[protocol](model)

"""Command lines of model servers, taken apart: which arguments name the model, which change its numbers."""

import re
import shlex
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from controller.api.verify import ParityGroup

MODEL_FLAGS: Final = frozenset(
    {
        "model",
        "model-base-path",
        "model-dir",
        "model-id",
        "model-name",
        "model-path",
        "model-repository",
        "model-store",
        "model-uri",
        "models",
        "revision",
        "served-model-name",
        "storage-uri",
        "tokenizer",
    }
)
"""Arguments that name the model, in kebab case and without dashes before them."""

MODEL_VARIABLES: Final = frozenset(
    {
        "HF_MODEL_ID",
        "MLFLOW_MODEL_URI",
        "MLSERVER_MODEL_NAME",
        "MLSERVER_MODEL_URI",
        "MLSERVER_MODEL_VERSION",
        "MODEL_BASE_PATH",
        "MODEL_DIR",
        "MODEL_ID",
        "MODEL_NAME",
        "MODEL_PATH",
        "MODEL_REPOSITORY",
        "MODEL_REVISION",
        "MODEL_URI",
        "MODEL_VERSION",
        "SERVED_MODEL_NAME",
        "STORAGE_URI",
    }
)
"""Environment variables that name the model."""

NUMERIC_FLAGS: Final = frozenset(
    {
        "batch-size",
        "dtype",
        "enable-prefix-caching",
        "gpu-memory-utilization",
        "intra-op-threads",
        "kv-cache-dtype",
        "load-format",
        "max-batch-delay",
        "max-batch-size",
        "max-model-len",
        "max-num-batched-tokens",
        "max-num-seqs",
        "num-threads",
        "num-workers",
        "pipeline-parallel-size",
        "precision",
        "quantization",
        "quantize",
        "seed",
        "tensor-parallel-size",
        "tensorflow-inter-op-parallelism",
        "tensorflow-intra-op-parallelism",
        "threads",
        "tp",
        "workers",
    }
)
"""Arguments that change results or their speed without being another model."""

NUMERIC_VARIABLES: Final = frozenset(
    {
        "BLIS_NUM_THREADS",
        "CUBLAS_WORKSPACE_CONFIG",
        "GOTO_NUM_THREADS",
        "KMP_AFFINITY",
        "MKL_CBWR",
        "MKL_NUM_THREADS",
        "MLSERVER_PARALLEL_WORKERS",
        "NUMBA_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NVIDIA_TF32_OVERRIDE",
        "OMP_NUM_THREADS",
        "OMP_PROC_BIND",
        "OPENBLAS_CORETYPE",
        "OPENBLAS_NUM_THREADS",
        "PYTHONHASHSEED",
        "TF_DETERMINISTIC_OPS",
        "TF_ENABLE_ONEDNN_OPTS",
        "TF_NUM_INTEROP_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
        "VECLIB_MAXIMUM_THREADS",
        "VLLM_ATTENTION_BACKEND",
        "WEB_CONCURRENCY",
        "XLA_FLAGS",
    }
)
"""Environment variables that change results or their speed."""

_FLAG: Final = re.compile(r"--?[A-Za-z][\w.-]*")
_SWITCHED_ON: Final = "set"

LONGEST_SCRIPT: Final = 16 * 1024
"""Characters of a script after ``sh -c`` that is taken apart; a longer one is compared as a whole."""


def group_of_variable(name: str) -> ParityGroup:
    """Return the group that an environment variable belongs to."""
    if name in MODEL_VARIABLES:
        return ParityGroup.MODEL
    return ParityGroup.NUMERICS if name in NUMERIC_VARIABLES else ParityGroup.ENV


def arguments(words: Sequence[str]) -> Iterator[tuple[ParityGroup, str, str]]:
    """Yield group, name and value of each argument of a command line (``command`` and ``args`` together).

    ``--name=value`` and ``--name value`` are the same; what has no name is named by its place among its like, and so
    is the second of two of one name. The script after ``sh -c`` is taken apart, too.
    """
    rest, seen = deque(_words(words)), Counter[str]()
    while rest:
        word = rest.popleft()
        flag, equals, value = word.partition("=")
        if not _FLAG.fullmatch(flag):
            seen[""] += 1
            yield ParityGroup.COMMAND, f"argument {seen['']}", word
            if word == "serve" and rest and not rest[0].startswith("-"):
                yield ParityGroup.MODEL, "model after serve", rest.popleft()
            continue
        if not equals:
            value = rest.popleft() if rest and not _FLAG.match(rest[0]) else _SWITCHED_ON
        seen[flag] += 1
        again = f" ({seen[flag]})" if seen[flag] > 1 else ""
        yield _group_of_flag(flag, value), f"argument {flag}{again}", value


def public(reference: str) -> str:
    """Return a reference to a model without what may be a credential in its URL."""
    try:
        parts = urlsplit(reference)
    except ValueError:
        return reference.partition("?")[0]
    if not parts.netloc:
        return reference.partition("?")[0]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _words(words: Sequence[str]) -> Iterator[str]:
    for before, word in zip(("", *words), words, strict=False):
        if before == "-c" and len(word) <= LONGEST_SCRIPT:
            yield from _script(word)
        else:
            yield word


def _script(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return (text,)


def _group_of_flag(flag: str, value: str) -> ParityGroup:
    name = flag.lstrip("-").replace("_", "-").lower()
    # mlflow's -m takes a URI; python's takes a module, which has neither a slash nor a colon.
    if name in MODEL_FLAGS or (flag == "-m" and set(value) & set("/:")):
        return ParityGroup.MODEL
    return ParityGroup.NUMERICS if name in NUMERIC_FLAGS else ParityGroup.COMMAND

# The operator's image. Build from the repository's root:
#   docker build --tag modelrollout:dev .
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
RUN python3 -m venv /opt/venv
COPY requirements-runtime.lock /tmp/requirements.lock
# Out go pip, the asynchronous half of the Kubernetes client, which nothing here uses, and SciPy's own tests.
RUN /opt/venv/bin/pip install --no-cache-dir --no-compile --require-hashes --requirement /tmp/requirements.lock \
 && /opt/venv/bin/pip uninstall --yes pip setuptools \
 && find /opt/venv/lib -type d \( -path '*/site-packages/kubernetes/aio' -o -path '*/site-packages/scipy/*/tests' \) \
      -prune -exec rm -r {} +
COPY controller /app/controller
# By hash, as image builders change the time of files, after which Python would compile everything at every start.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib /app

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="modelrollout" \
      org.opencontainers.image.description="Promotes a new ML model, or takes it back, on statistics that stay valid at every look." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
# LOGNAME, because kopf asks for the user's name, and a number without an entry in /etc/passwd has none.
# One thread for linear algebra and few arenas: the operator's matrices are small, its memory should be, too.
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp LOGNAME=modelrollout \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONFAULTHANDLER=1 \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MALLOC_ARENA_MAX=2
WORKDIR /app
USER 65532:65532
EXPOSE 8081
ENTRYPOINT ["python", "-m", "controller"]

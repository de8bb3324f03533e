# gome as compose.yaml runs it. EXTRAS are those of pyproject.toml; a worker with a GPU also wants torch and gpu.
FROM python:3.12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap libgomp1 \
    && rm -rf /var/lib/apt/lists/*
ARG EXTRAS=suite,serve,s3
COPY . /tmp/gome
RUN pip install --no-cache-dir -c /tmp/gome/constraints.txt "/tmp/gome[${EXTRAS}]" && rm -rf /tmp/gome
# Whoever runs it is named by compose.yaml: secrets are files of the user who made them.
RUN install -d -m 1777 /var/lib/gome /var/lib/artifacts
ENV GOME_HOME=/var/lib/gome GOME_ARTIFACTS=/var/lib/artifacts HOME=/tmp
WORKDIR /var/lib/gome
USER 1000
ENTRYPOINT ["gome"]

# posegen in a container; docs/install.md has the commands.
#   CPU:  docker build -t posegen .
#   CUDA: docker build -t posegen:cuda --build-arg TORCH_INDEX=https://pypi.org/simple .
FROM python:3.11-slim-bookworm

# Index that torch and torchvision come from; PyPI's for Linux contain CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# torch first, in a layer of its own: the rest changes more often, and is resolved against it.
WORKDIR /opt/posegen
COPY constraints.txt ./
RUN pip install -c constraints.txt --extra-index-url "$TORCH_INDEX" torch torchvision

COPY pyproject.toml README.md LICENSE ./
COPY posegen posegen
COPY plugins plugins
COPY configs configs
RUN pip install -c constraints.txt --extra-index-url "$TORCH_INDEX" ".[app,pose,hub]"

# Any user may run it (docker run --user), so both folders are everybody's.
RUN useradd --uid 1000 --create-home posegen && mkdir /work && chmod 1777 /work /home/posegen
ENV HOME=/home/posegen
USER 1000
WORKDIR /work

EXPOSE 7860
ENTRYPOINT ["posegen"]
CMD ["--help"]

# CPU: docker build -t prsr .
# GPU: docker build -t prsr:gpu --build-arg EXTRAS=gpu,faces,study,web .
# The extra gpu brings CUDA's libraries and docker run --gpus all the driver: one base for both.
FROM python:3.11-slim

# Dependencies without the source: they are installed again only when pyproject.toml changes, or
# the version. The package is found where its source is copied to below, hence --editable.
ARG EXTRAS=faces,study,web
WORKDIR /prsr
COPY LICENSE pyproject.toml ./
COPY prsr/system/version.py prsr/
RUN touch README.md && pip install --no-cache-dir --editable ".[$EXTRAS]"

COPY . .

# Anyone whom --user names can read the code, whatever the checkout's modes, and write to /work, for
# data and runs, and to HOME, for what Keras and Matplotlib keep. Downloads belong to the data.
RUN useradd --no-create-home --home-dir /tmp prsr \
    && install --directory --mode=1777 /work \
    && ln -s /prsr/experiments /work \
    && chmod -R a+rX .
ENV HOME=/tmp PYTHONUNBUFFERED=1 TFDS_DATA_DIR=/work/tensorflow_datasets
USER prsr
WORKDIR /work
EXPOSE 8000

# "train --flagfile=FILE" is prsr train --flagfile=FILE; without arguments, what there is. -P: the
# image's own code, even where /work is a checkout.
ENTRYPOINT ["python", "-P", "-m", "prsr"]

# CPU: docker build -t prsr .
# GPU: docker build -t prsr:gpu --build-arg EXTRAS=gpu,faces,study,web .
# The extra gpu brings CUDA's libraries and docker run --gpus all the driver: one base for both.
FROM python:3.11-slim

# Dependencies without the source: they are installed again only when setup.py changes, or the
# version. The package is found where its source is copied to below, hence --editable.
ARG EXTRAS=faces,study,web
WORKDIR /prsr
COPY LICENSE setup.py ./
COPY prsr/__init__.py prsr/
RUN touch README.md && pip install --no-cache-dir --editable ".[$EXTRAS]"

COPY . .

# Anyone whom --user names can read the code, whatever the checkout's modes, and write to /work, for
# data and runs, and to HOME, for what Keras and Matplotlib keep. Downloads belong to the data.
RUN useradd --no-create-home --home-dir /tmp prsr \
    && install --directory --mode=1777 /work \
    && ln -s /prsr/experiments /work \
    && chmod -R a+rX . \
    && grep -Phom1 '^(""".*: )?python -m prsr\.\K[^"]+' prsr/*.py > commands
ENV HOME=/tmp PYTHONUNBUFFERED=1 TFDS_DATA_DIR=/work/tensorflow_datasets
USER prsr
WORKDIR /work
EXPOSE 8000

# "train --flagfile=FILE" is python -m prsr.train --flagfile=FILE; without arguments, what there is.
# exec: SIGTERM, upon which training saves, reaches Python. -P: the image's own code, even where
# /work is a checkout.
ENTRYPOINT ["sh", "-c", "case $0 in -*) exec cat /prsr/commands;; esac; exec python -P -m \"prsr.$0\" \"$@\""]
CMD ["--help"]

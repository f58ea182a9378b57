"""A study on disk: its protocol, algorithms, data sets and images.

A study directory is self-contained:

study.json                  protocol, algorithms, data sets; see `Study`
images/DATA/METHOD/00000.png  one file per image, all the same size in bytes; METHOD can
                            also be `truth` or `bicubic`
consent.txt                 what a worker reads first; edit it before the study begins
answers.db                  SQLite: sessions and answers (`prsr.pages.study.store`)
admin_token                 the password of the admin page
"""

import dataclasses
import json
import pathlib
import re
import secrets
import shutil

import numpy as np
from PIL import Image

from prsr.pages.study.protocol import Protocol
from prsr.system import files
from prsr.system.errors import UserError, first_line

TRUTH, BICUBIC = "truth", "bicubic"
ENLARGE = ("nearest", "smooth")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

CONSENT = """\
In this study you see pairs of very small pictures. One of each pair is a photograph; the other
was made by a computer. You guess which one is from a camera.

It takes about five minutes: a short practice, then the pairs that count. Each pair is shown for
one second. Then you answer with the arrow keys, a click or a touch.

We keep your answers, how long you took, and the identifier in your link, if there is one. We
keep nothing else about you. You may stop at any time by closing the page, and continue later in
the same browser.
"""


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """One method on one data set: what a worker is assigned to."""

    data: str
    method: str  # as in an evaluation's images/METHOD
    title: str
    paper: tuple | None = None  # its % fooled and the standard error

    @property
    def key(self):
        return f"{self.data}/{self.method}"


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Where a data set's images came from."""

    name: str
    names: tuple  # of the images, in the files' order
    table: dict  # the evaluation's table1.json


@dataclasses.dataclass(frozen=True)
class Study:
    """The contents of study.json, and the path of its directory."""

    path: pathlib.Path
    protocol: Protocol
    enlarge: str  # one of `ENLARGE`: how the page enlarges every image
    data_sets: list[DataSet]
    algorithms: list[Algorithm]
    identity: str  # distinguishes the study, and its answers, from other studies and theirs
    simulated: bool = False  # whether its workers are

    @classmethod
    def open(cls, path):
        """Reads a study directory; raises UserError if it is none, or is damaged."""
        file = path / "study.json"
        if not file.exists():
            raise UserError(
                f"'{path}': no study there (no study.json); make one with "
                f"python -m prsr.study prepare --study={path} --evaluations=RUN/evaluation"
            )
        try:
            content = json.loads(file.read_text("utf-8"))
            content["protocol"] = Protocol(**content["protocol"])
            content["data_sets"] = [DataSet(**entry) for entry in content["data_sets"]]
            content["algorithms"] = [Algorithm(**entry) for entry in content["algorithms"]]
            study = cls(path, **content)
            study.check()
        except (OSError, ValueError, KeyError, TypeError, UserError) as error:
            raise UserError(
                f"'{file}' is damaged ({first_line(error)}); restore it from a backup, or prepare "
                f"a new study in another directory"
            ) from error
        for algorithm in study.algorithms:
            for method in (TRUTH, BICUBIC, algorithm.method):
                for number in range(study.counts[algorithm.key]):
                    picture = study.picture(algorithm.data, method, number)
                    if not picture.exists():
                        raise UserError(f"'{picture}' is missing; restore it from a backup")
        return study

    def check(self):
        """Raises UserError if a setting is invalid."""
        for name, value in dataclasses.asdict(self.protocol).items():
            if type(value) is not int or value < 0:
                raise UserError(f"{name} is {value!r}")
        if self.enlarge not in ENLARGE:
            raise UserError(f"enlarge is {self.enlarge!r}")
        for data in self.data_sets:
            if len(data.names) < self.protocol.images:
                raise UserError(
                    f"'{data.name}' has {len(data.names)} images, and a session shows "
                    f"{self.protocol.images} different ones; evaluate more test images"
                )

    def write(self):
        """Writes study.json. Call it last: a study that has one is complete."""
        content = dataclasses.asdict(self)
        del content["path"]
        files.write_text(self.path / "study.json", json.dumps(content, indent=1) + "\n")

    def picture(self, data, method, number):
        """`pathlib.Path` of an image's PNG."""
        return self.path / "images" / data / method / f"{number:05d}.png"

    @property
    def answers(self):
        return self.path / "answers.db"

    @property
    def counts(self):
        """Dict from each algorithm's key to how many images it has."""
        counts = {data.name: len(data.names) for data in self.data_sets}
        return {algorithm.key: counts[algorithm.data] for algorithm in self.algorithms}

    def simulated_copy(self, path):
        """Copies the study without its answers to a new directory, for simulated workers."""
        path.mkdir(parents=True)
        shutil.copytree(self.path / "images", path / "images")
        shutil.copy(self.path / "consent.txt", path)
        identity = secrets.token_hex(8)
        study = dataclasses.replace(self, path=path, identity=identity, simulated=True)
        study.write()
        return study

    def consent(self):
        """The paragraphs a worker reads first."""
        try:
            text = (self.path / "consent.txt").read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"'{self.path / 'consent.txt'}' cannot be read ({first_line(error)})"
            ) from error
        return [paragraph.strip() for paragraph in text.split("\n\n") if paragraph.strip()]

    def admin_token(self):
        """The admin page's password, created on first use."""
        file = self.path / "admin_token"
        if not file.exists():
            files.write_text(file, secrets.token_urlsafe(24) + "\n", mode=0o600)
        return file.read_text("utf-8").strip()


def prepare(path, data_sets, pictures, algorithms, enlarge, protocol):
    """Makes a study directory and returns its `Study`, whose attributes the other arguments are.

    Args:
        path: it must not hold a study yet.
        pictures: dict from a data set's name to a dict of `[count, size, size, channels]`
            uint8 arrays, one for each method's key and for `"truth"` and `"bicubic"`.

    Raises:
        UserError: there is a study already, or a data set has an invalid name or too few images.
    """
    if (path / "study.json").exists() or (path / "answers.db").exists():
        raise UserError(f"'{path}' holds a study already; choose another directory")
    for data in data_sets:
        if not NAME.fullmatch(data.name):
            raise UserError(
                f"a data set's name must be letters, digits, '_', '-' and '.', and must not begin "
                f"with '-' or '.'; got '{data.name}'; choose a name with NAME=DIR"
            )
    study = Study(path, protocol, enlarge, data_sets, algorithms, secrets.token_hex(8))
    study.check()
    for data, methods in pictures.items():
        for method, images in methods.items():
            for number, image in enumerate(images):
                with files.replacing(study.picture(data, method, number)) as partial:
                    _save_png(image, partial)
    if not (path / "consent.txt").exists():
        files.write_text(path / "consent.txt", CONSENT)
    study.write()
    return study


def _save_png(image, path):
    """Saves `[height, width, channels]` uint8 as an uncompressed PNG: its size tells nothing."""
    image = np.asarray(image)
    image = image[..., 0] if image.shape[-1] == 1 else image
    # Not `prsr.images.to_pil`: a server would wait for Keras to be imported.
    Image.fromarray(image).save(path, format="PNG", compress_level=0)

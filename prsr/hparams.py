"""Every setting of a run, as frozen dataclasses; Table 2 in the table's order.

A field is a default, a type and a line of help. `prsr.flags` turns each into a
flag, and `prsr.trained.workdir` keeps them in the run directory, so nothing is said twice.
"""

import dataclasses
import math
import sys
from collections.abc import Sequence
from typing import Any, Self, TypeVar

from prsr.errors import UserError

CROPS = ("center", "celeba", "mnist")
SPLITS = ("auto", "celeba", "folders", "hash")
DOWNSAMPLING = ("antialiased", "tf1_bicubic")
NORMALIZATIONS = ("batch", "none")
ARCHITECTURES = ("pixel_recursive", "regression", "cross_entropy")
TAU = (
    "Multiplies the logits: larger is calmer, inf is greedy. The inverse of the usual "
    "temperature (footnote 1 of the paper, which found 1.1 to 1.3 to look best)."
)
MATCH_INPUT = ("off", "end", "rows")
PAIRS = ("downsampled", "corners", "diagonal_corners")


Value = TypeVar("Value", str, int, float, bool)


def setting(
    default: Value,
    help: str,
    choices: Sequence[str] | None = None,
    fixed: bool = True,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    has_flag: bool = True,
) -> Value:
    """A dataclass field with its help and its bounds.

    Args:
        default: the paper's value where the paper has one.
        help: one line for `--help`.
        choices: the allowed values, where they are a list.
        fixed: whether a run that was started with one value must keep it.
        low, high: the least and the largest number, or None. Without `high` a number must
            be finite.
        above, below: the same, exclusive.
        has_flag: whether it is the user who sets it.

    Returns:
        A `dataclasses.field`.
    """
    bounds = {"low": low, "high": high, "above": above, "below": below}
    return dataclasses.field(
        default=default,
        metadata={
            "help": help,
            "choices": choices,
            "fixed": fixed,
            "bounds": bounds,
            "has_flag": has_flag,
        },
    )


@dataclasses.dataclass(frozen=True)
class ModelHparams:
    """Which model, and the two networks of Table 2: the arguments of its constructor.

    What they must be for a model to exist, its constructor says; here is what is absurd.
    """

    architecture: str = setting(
        "pixel_recursive",
        "pixel_recursive: the paper's model; regression, cross_entropy: its pixel independent "
        "baselines, which have the conditioning network's flags and no prior.",
        choices=ARCHITECTURES,
    )
    channels: int = setting(3, "Channels of an image: 3 (RGB) or 1 (grey).")
    scale: int = setting(4, "Upscaling factor, a power of two.", high=64)
    blocks_per_stage: int = setting(
        6, "Table 2's B: ResNet blocks in each stage; 6 for faces, 10 for bedrooms.", high=100
    )
    conditioning_width: int = setting(32, "Feature maps of the conditioning network.", high=2**10)
    normalization: str = setting("batch", "Normalisation in ResNet blocks.", choices=NORMALIZATIONS)
    prior_width: int = setting(64, "Feature maps of each PixelCNN stack.", high=2**10)
    prior_layers: int = setting(20, "Gated 5x5 layers of the PixelCNN.", high=200)
    prior_hidden: int = setting(1024, "Feature maps of the PixelCNN's 1x1 layer.", high=2**14)


@dataclasses.dataclass(frozen=True)
class DataHparams:
    """What to train on, and how an image becomes a pair of 32x32 and 8x8."""

    dataset: str = setting(
        "drawn",
        "KIND:WHERE. drawn (or drawn:COUNT; needs no download), folder:DIR, zip:FILE[,FILE], "
        "mnist:DIR (idx files), tfds:NAME[,download], lmdb:DIR (LSUN), records:DIR.",
        fixed=False,
    )
    image_size: int = setting(32, "Height and width of a high-resolution image.", high=1024)
    crop: str = setting(
        "center",
        "center: the largest centred square; celeba: the face in an aligned CelebA image; "
        "mnist: the middle 24x24 of a digit's 28x28.",
        choices=CROPS,
    )
    downsampling: str = setting(
        "antialiased",
        "How the low-resolution image is made: antialiased bicubic, or tf1_bicubic, "
        "TensorFlow 1's resize_bicubic, which takes every scale-th pixel.",
        choices=DOWNSAMPLING,
    )
    split: str = setting(
        "auto",
        "celeba: the official partition by file name; folders: train/, val/, test/; "
        "hash: 90/5/5 by a hash of the name, but for folders that all are in; auto: the first of "
        "these that applies.",
        choices=SPLITS,
    )
    pairs: str = setting(
        "downsampled",
        "What is to be predicted from what. downsampled: an image from its reduction; corners: "
        "the image at half size in the upper left or upper right corner from the same in the "
        "middle (MNIST corners, section 3.2); diagonal_corners: upper left or lower right.",
        choices=PAIRS,
    )
    levels: int = setting(256, "Intensities that are kept of an image, 2 to 256.", low=2, high=256)
    mirror: bool = setting(False, "Mirror training images, each with probability one half.")
    root: str = setting(
        "",
        "From which folder names are hashed, as a run found it: prsr.data.splits.keys.",
        fixed=False,
        has_flag=False,
    )


@dataclasses.dataclass(frozen=True)
class TrainingHparams:
    """The optimiser's rows of Table 2, and what this implementation adds (off by default)."""

    rho: float = setting(0.95, "RMSProp's decay of the mean square.", low=0, below=1)
    momentum: float = setting(0.9, "RMSProp's momentum.", low=0, below=1)
    epsilon: float = setting(1e-8, "RMSProp's epsilon, inside the root.", above=0)
    rms_start: float = setting(
        1.0, "Where RMSProp's mean square starts: 1 as TensorFlow 1 did, 0 as Keras does.", low=0
    )
    global_batch_size: int = setting(32, "Images a step, over all devices.", low=1)
    conditioning_weight: float = setting(
        1.0, "Weight of CE(A) beside CE(A + B): 1 is equation 8, 0 equation 7.", low=0
    )
    train_steps: int = setting(
        200_000, "Steps: 200,000 faces, 2,000,000 bedrooms.", fixed=False, low=1
    )
    learning_rate: float = setting(4e-4, "Learning rate of the first step.", fixed=False, above=0)
    learning_rate_factor: float = setting(
        1.0, "Multiplies it; --on_nan=restore halves it, and a run keeps it.", fixed=False, above=0
    )
    halve_every: int = setting(500_000, "Steps after which the learning rate is halved.", low=1)
    clip_norm: float = setting(
        0.0, "Clip the gradient's global norm here; 0: never (the paper).", fixed=False, low=0
    )
    ema: float = setting(
        0.0,
        "Decay of a moving average of the weights, used to evaluate and sample; 0: none.",
        low=0,
        below=1,
    )
    mixed_precision: bool = setting(
        False, "Compute in bfloat16, keep weights in float32.", fixed=False
    )
    jit_compile: bool = setting(False, "Compile the step with XLA (one device only).")
    seed: int = setting(
        1, "Seed of the weights, the order of the data and the samples.", low=0, high=2**31 - 1
    )
    initial_weights: str = setting(
        "",
        "Start from these weights instead of random ones: faces, a run directory, or a "
        ".weights.h5 file. The first two bring the model's settings.",
    )


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How often training does what, in steps; a final round comes at the end.

    None of it changes the weights but `on_nan`.
    """

    log_every: int = setting(100, "Steps between two lines of training scores.", low=1)
    eval_every: int = setting(1000, "Steps between two validations.", low=1)
    eval_images: int = setting(512, "Validation images to score.", low=1)
    checkpoint_every: int = setting(1000, "Steps between two checkpoints.", low=1)
    sample_every: int = setting(0, "Steps between two grids; 0: at the end only.", low=0)
    sample_images: int = setting(4, "Rows of a grid; 0 draws none.", low=0)
    num_samples: int = setting(3, "Samples a row.", low=1)
    tau: float = setting(1.1, TAU, above=0, high=math.inf)
    on_nan: str = setting(
        "stop",
        "If the loss is no number: stop, or go back to the newest checkpoint and go on from "
        "there with half the learning rate.",
        choices=("stop", "restore"),
    )

    def check(self) -> None:
        """As `Hparams.check`."""
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How an image is drawn: softmax(tau (B + (1 + guidance) A)), sub-pixel by sub-pixel."""

    tau: float = setting(1.1, TAU, above=0, high=math.inf)
    guidance: float = setting(
        0.0,
        "How much more A counts: logits are tau (B + (1 + guidance) A). 0 is the paper's; 2 to 3 "
        "follow the input more closely, and samples of one input then differ less.",
        low=0,
    )
    match_input: str = setting(
        "off",
        "off: the paper's. end: change each finished sample as little as possible, so that it "
        "reduces to its input exactly. rows: also move each row towards the input before the next "
        "row is drawn.",
        choices=MATCH_INPUT,
    )

    def check(self) -> None:
        """As `Hparams.check`."""
        check_bounds(self)

    @property
    def in_paper(self) -> bool:
        """Whether the paper draws so: without guidance and matching."""
        return not self.guidance and self.match_input == "off"

    @property
    def key(self) -> str:
        """For files and JSON, such as `"tau_1.2_guidance_2_matched"`."""
        return "_".join(self._named("tau_{:g}", "guidance_{:g}")).replace(" ", "_")

    @property
    def title(self) -> str:
        """For people, such as `"tau = 1.2, guidance 2, matched"`."""
        return ", ".join(self._named("tau = {:g}", "guidance {:g}"))

    def _named(self, tau: str, guidance: str) -> list[str]:
        parts = ["greedy" if math.isinf(self.tau) else tau.format(self.tau)]
        parts += [guidance.format(self.guidance)] if self.guidance else []
        return (
            parts + {"off": [], "end": ["matched"], "rows": ["matched by rows"]}[self.match_input]
        )


@dataclasses.dataclass(frozen=True)
class Hparams:
    """All settings of a run.

    Attributes:
        model: `ModelHparams`.
        data: `DataHparams`.
        training: `TrainingHparams`.
    """

    model: ModelHparams = ModelHparams()
    data: DataHparams = DataHparams()
    training: TrainingHparams = TrainingHparams()

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Self:
        """The settings back from `to_dict`.

        Raises:
            KeyError, TypeError: `settings` is not what `to_dict` returns.
        """
        return cls(
            **{
                field.name: _read(field.type, settings[field.name])
                for field in dataclasses.fields(cls)
            }
        )

    def check(self) -> None:
        """Refuses numbers that nothing can be trained with.

        Raises:
            UserError: names the setting, what it expects and what came. What the networks
            themselves cannot be is refused by their constructors.
        """
        for section in (self.model, self.data, self.training):
            check_bounds(section)
        data, scale = self.data, self.model.scale
        if data.pairs != "downsampled" and data.image_size % (4 * scale):
            raise UserError(
                f"pairs={data.pairs} needs an image_size that is a multiple of four times "
                f"scale, not {data.image_size} with scale {scale}"
            )


def check_bounds(
    section: ModelHparams | DataHparams | TrainingHparams | Schedule | Sampling,
) -> None:
    """Refuses a number outside of its setting's bounds.

    Args:
        section: a dataclass whose fields are `setting`s.

    Raises:
        UserError: names the setting, what it expects and what came.
    """
    for field in dataclasses.fields(section):
        value, bounds = getattr(section, field.name), field.metadata["bounds"]
        if not isinstance(value, (int, float)):
            continue
        low, high, above, below = (bounds[name] for name in ("low", "high", "above", "below"))
        broken = []
        if low is not None and not value >= low:
            broken.append(f"{low} or more")
        if above is not None and not value > above:
            broken.append(f"more than {above}")
        if below is not None and not value < below:
            broken.append(f"below {below}")
        if high is not None and not value <= high:
            broken.append(f"at most {high}")
        if high is None and not abs(value) <= sys.float_info.max:
            broken.append("a finite number")
        if broken:
            raise UserError(f"{field.name} must be {' and '.join(broken)}, not {value}")


def _read(section, values):
    """A section from a dict that came from a file."""
    if not isinstance(values, dict):
        raise TypeError(f"{section.__name__} must be an object, not {values!r}")
    values = {_RENAMED.get((section, name), name): value for name, value in values.items()}
    for field in dataclasses.fields(section):
        value, choices = values.get(field.name, field.default), field.metadata["choices"]
        if choices and value not in choices:
            raise ValueError(f"{field.name} must be one of {', '.join(choices)}, not {value!r}")
        if type(value) is not field.type and not (field.type is float and type(value) is int):
            raise TypeError(f"{field.name} must be {field.type.__name__}, not {value!r}")
    return section(**values)


_RENAMED = {(ModelHparams, "model"): "architecture"}  # as runs before version 0.2 were saved

"""Every setting of a run, as frozen dataclasses; Table 2 in the table's order.

A field is a default, a type and a line of help. `prsr.flags` turns each into a
flag, and `prsr.workdirs` keeps them in the run directory, so nothing is said twice.
"""

import dataclasses
import sys

from prsr.errors import UserError

CROPS = ("center", "celeba", "mnist")
SPLITS = ("auto", "celeba", "folders", "hash")
DOWNSAMPLING = ("antialiased", "tf1_bicubic")
NORMALIZATIONS = ("batch", "none")
MODELS = ("pixel_recursive", "regression", "cross_entropy")
PAIRS = ("downsampled", "corners", "diagonal_corners")


def setting(default, help, choices=None, fixed=True):
    """A dataclass field with its help.

    Args:
        default: the paper's value where the paper has one.
        help: one line for `--help`.
        choices: the allowed values, where they are a list.
        fixed: whether a run that was started with one value must keep it.

    Returns:
        A `dataclasses.field`.
    """
    return dataclasses.field(
        default=default, metadata={"help": help, "choices": choices, "fixed": fixed}
    )


@dataclasses.dataclass(frozen=True)
class ModelHparams:
    """Which model, and the two networks of Table 2: the arguments of its constructor."""

    model: str = setting(
        "pixel_recursive",
        "pixel_recursive: the paper's model; regression, cross_entropy: its pixel independent "
        "baselines, which have the conditioning network's flags and no prior.",
        choices=MODELS,
    )
    channels: int = setting(3, "Channels of an image: 3 (RGB) or 1 (grey).")
    scale: int = setting(4, "Upscaling factor, a power of two.")
    blocks_per_stage: int = setting(
        6, "Table 2's B: ResNet blocks in each stage; 6 for faces, 10 for bedrooms."
    )
    conditioning_width: int = setting(32, "Feature maps of the conditioning network.")
    normalization: str = setting("batch", "Normalisation in ResNet blocks.", choices=NORMALIZATIONS)
    prior_width: int = setting(64, "Feature maps of each PixelCNN stack.")
    prior_layers: int = setting(20, "Gated 5x5 layers of the PixelCNN.")
    prior_hidden: int = setting(1024, "Feature maps of the PixelCNN's 1x1 layer.")


@dataclasses.dataclass(frozen=True)
class DataHparams:
    """What to train on, and how an image becomes a pair of 32x32 and 8x8."""

    dataset: str = setting(
        "drawn",
        "KIND:WHERE. drawn (or drawn:COUNT; needs no download), folder:DIR, zip:FILE[,FILE], "
        "mnist:DIR (idx files), tfds:NAME[,download], lmdb:DIR (LSUN), records:DIR.",
        fixed=False,
    )
    image_size: int = setting(32, "Height and width of a high-resolution image.")
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
        "hash: 90/5/5 by a hash of the name; auto: the first of these that applies.",
        choices=SPLITS,
    )
    pairs: str = setting(
        "downsampled",
        "What is to be predicted from what. downsampled: an image from its reduction; corners: "
        "the image at half size in the upper left or upper right corner from the same in the "
        "middle (MNIST corners, section 3.2); diagonal_corners: upper left or lower right.",
        choices=PAIRS,
    )
    levels: int = setting(256, "Intensities that are kept of an image, 2 to 256.")
    mirror: bool = setting(False, "Mirror training images, each with probability one half.")


@dataclasses.dataclass(frozen=True)
class TrainingHparams:
    """The optimiser's rows of Table 2, and what this implementation adds (off by default)."""

    rho: float = setting(0.95, "RMSProp's decay of the mean square.")
    momentum: float = setting(0.9, "RMSProp's momentum.")
    epsilon: float = setting(1e-8, "RMSProp's epsilon, inside the root.")
    rms_start: float = setting(
        1.0, "Where RMSProp's mean square starts: 1 as TensorFlow 1 did, 0 as Keras does."
    )
    global_batch_size: int = setting(32, "Images a step, over all devices.")
    conditioning_weight: float = setting(
        1.0, "Weight of CE(A) beside CE(A + B): 1 is equation 8, 0 equation 7."
    )
    train_steps: int = setting(200_000, "Steps: 200,000 faces, 2,000,000 bedrooms.", fixed=False)
    learning_rate: float = setting(4e-4, "Learning rate of the first step.", fixed=False)
    learning_rate_factor: float = setting(
        1.0, "Multiplies it; --on_nan=restore halves it, and a run keeps it.", fixed=False
    )
    halve_every: int = setting(500_000, "Steps after which the learning rate is halved.")
    clip_norm: float = setting(
        0.0, "Clip the gradient's global norm here; 0: never (the paper).", fixed=False
    )
    ema: float = setting(
        0.0, "Decay of a moving average of the weights, used to evaluate and sample; 0: none."
    )
    mixed_precision: bool = setting(False, "Compute in bfloat16, keep weights in float32.")
    jit_compile: bool = setting(False, "Compile the step with XLA (one device only).")
    seed: int = setting(1, "Seed of the weights, the order of the data and the samples.")


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

    def to_dict(self):
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, settings):
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

    def check(self):
        """Refuses numbers that nothing can be trained with.

        Raises:
            UserError: names the flag, what it expects and what came. What the networks
            themselves cannot be is refused by their constructors.
        """
        training = self.training
        rules = {
            "global_batch_size": (training.global_batch_size >= 1, "1 or more"),
            "train_steps": (training.train_steps >= 1, "1 or more"),
            "learning_rate": (0 < training.learning_rate < float("inf"), "a positive number"),
            "learning_rate_factor": (
                0 < training.learning_rate_factor < float("inf"),
                "a positive number",
            ),
            "halve_every": (training.halve_every >= 1, "1 or more"),
            "rho": (0 <= training.rho < 1, "0 or more and below 1"),
            "momentum": (0 <= training.momentum < 1, "0 or more and below 1"),
            "epsilon": (training.epsilon > 0, "a positive number"),
            "rms_start": (training.rms_start >= 0, "0 or more"),
            "clip_norm": (training.clip_norm >= 0, "0 or more"),
            "conditioning_weight": (
                0 <= training.conditioning_weight < float("inf"),
                "0 or a positive number",
            ),
            "ema": (0 <= training.ema < 1, "0 or more and below 1"),
            "seed": (0 <= training.seed < 2**31, "0 or more and below 2147483648"),
        }
        for name, (fits, expected) in rules.items():
            if not fits:
                raise UserError(f"--{name} must be {expected}, not {getattr(training, name)}")
        for name, value in vars(training).items():
            if abs(value) > sys.float_info.max:
                raise UserError(f"--{name} must be a finite number, not an infinite one")
        model = self.model
        most = {
            "scale": 64,
            "blocks_per_stage": 100,
            "conditioning_width": 2**10,
            "prior_width": 2**10,
            "prior_layers": 200,
            "prior_hidden": 2**14,
        }
        for name, limit in most.items():
            if getattr(model, name) > limit:
                raise UserError(f"--{name} must be at most {limit}, not {getattr(model, name)}")
        if self.data.image_size > 1024:
            raise UserError(f"--image_size must be at most 1024, not {self.data.image_size}")
        data = self.data
        if not 2 <= data.levels <= 256:
            raise UserError(f"--levels must be 2 to 256, not {data.levels}")
        if data.pairs != "downsampled" and data.image_size % (4 * self.model.scale):
            raise UserError(
                f"--pairs={data.pairs} needs an --image_size that is a multiple of four times "
                f"--scale, not {data.image_size} with scale {self.model.scale}"
            )


def _read(section, values):
    """A section from a dict that came from a file."""
    if not isinstance(values, dict):
        raise TypeError(f"{section.__name__} must be an object, not {values!r}")
    for field in dataclasses.fields(section):
        value, choices = values.get(field.name, field.default), field.metadata["choices"]
        if choices and value not in choices:
            raise ValueError(f"{field.name} must be one of {', '.join(choices)}, not {value!r}")
        if type(value) is not field.type and not (field.type is float and type(value) is int):
            raise TypeError(f"{field.name} must be {field.type.__name__}, not {value!r}")
    return section(**values)

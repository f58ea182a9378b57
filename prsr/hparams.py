"""Every setting of a run, as frozen dataclasses; Table 2's rows in its order.

A field has a default, a type and a line of help. `prsr.flags` turns each field into a flag, and
`prsr.workdir.directory` saves them all in the run directory.
"""

import dataclasses
import math
import operator
import sys
from collections.abc import Sequence
from typing import Any, Self, TypeVar

from prsr.system.errors import UserError

CROPS = ("center", "celeba", "mnist")
SPLITS = ("auto", "celeba", "folders", "hash")
DOWNSAMPLING = ("antialiased", "tf1_bicubic")
NORMALIZATIONS = ("batch", "none")
ARCHITECTURES = ("pixel_recursive", "regression", "cross_entropy")
# Paper: tau is the inverse of the usual temperature (footnote 1).
TAU = "Inverse temperature: larger gives smoother, less varied samples; inf is greedy"
PAIRS = ("downsampled", "corners")

Value = TypeVar("Value", str, int, float, bool)


def setting(
    default: Value,
    help: str,
    choices: Sequence[str] | None = None,
    fixed: bool = True,
    is_path: bool = False,
    **bounds: float,
) -> Value:
    """A dataclass field, by default any finite number.

    Args:
        default: the paper's value where the paper has one.
        help: one line for `--help` and docs/commands.md; it names the choices.
        fixed: whether a run keeps its first value when it is resumed.
        is_path: whether it is a path, or KIND:PATH.
        **bounds: `low` and `high`, which are included, `above` and `below`, which are not.
    """
    metadata = {"help": help, "choices": choices, "fixed": fixed, "is_path": is_path}
    bounds.setdefault("high", sys.float_info.max)
    return dataclasses.field(default=default, metadata={**metadata, "bounds": bounds})


class Section:
    """A frozen dataclass whose fields are `setting`s."""

    def check(self) -> None:
        """Raises `UserError` for a number outside its setting's bounds."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, (int, float)):
                for name, bound in field.metadata["bounds"].items():
                    holds, words = _BOUNDS[name]
                    if not holds(value, bound):
                        raise UserError(f"{field.name} must be {words.format(bound)}, not {value}")


_BOUNDS = {
    "low": (operator.ge, "{} or more"),
    "above": (operator.gt, "more than {}"),
    "below": (operator.lt, "below {}"),
    "high": (operator.le, "at most {}"),
}


@dataclasses.dataclass(frozen=True)
class ModelHparams(Section):
    """Which model, and the two networks of Table 2: the arguments of its constructor.

    The bounds here only exclude absurd sizes; the constructor checks the rest.
    """

    architecture: str = setting(
        "pixel_recursive",
        "pixel_recursive, or a baseline: regression or cross_entropy",
        choices=ARCHITECTURES,
    )
    channels: int = setting(3, "Channels of an image: 3 (RGB) or 1 (grey)")
    scale: int = setting(4, "Upscaling factor, a power of two", high=64)
    blocks_per_stage: int = setting(
        6, "ResNet blocks per stage, Table 2's B: 6 faces, 10 bedrooms", high=100
    )
    conditioning_width: int = setting(32, "Feature maps of the conditioning network", high=2**10)
    normalization: str = setting(
        "batch", "Normalisation in the ResNet blocks: batch or none", choices=NORMALIZATIONS
    )
    prior_width: int = setting(64, "Feature maps of each PixelCNN stack", high=2**10)
    prior_layers: int = setting(20, "Gated 5x5 layers of the PixelCNN", high=200)
    prior_hidden: int = setting(1024, "Feature maps of the PixelCNN's 1x1 layer", high=2**14)

    def require_prior(self, what: str) -> None:
        """Raises `UserError` for the baselines, which cannot `what`, such as "be drawn"."""
        if self.architecture != "pixel_recursive":
            raise UserError(f"only a pixel_recursive model can {what}, not {self.architecture}")


@dataclasses.dataclass(frozen=True)
class DataHparams(Section):
    """What to train on, and how an image becomes a pair: 32x32 and 8x8 by default."""

    dataset: str = setting(
        "drawn",
        "KIND:WHERE: folder:DIR, zip:FILE, tfds:NAME, mnist:DIR, lmdb:DIR (LSUN), records:DIR, or "
        "drawn (letters, no download)",
        fixed=False,
        is_path=True,
    )
    image_size: int = setting(32, "Height and width of the high-resolution images", high=1024)
    crop: str = setting(
        "center", "Square to crop: center, celeba (aligned faces) or mnist (digits)", choices=CROPS
    )
    downsampling: str = setting(
        "antialiased",
        "Bicubic: antialiased, or tf1_bicubic (every scale-th pixel)",
        choices=DOWNSAMPLING,
    )
    split: str = setting(
        "auto",
        "How to split: celeba, folders or hash (of names); auto: the first that matches all files",
        choices=SPLITS,
    )
    pairs: str = setting(
        "downsampled", "Task: downsampled, or corners (MNIST corners)", choices=PAIRS
    )
    levels: int = setting(256, "Intensities to keep, 2 to 256", low=2, high=256)
    mirror: bool = setting(False, "Mirror each training image with probability 1/2")


@dataclasses.dataclass(frozen=True)
class TrainingHparams(Section):
    """The optimiser's rows of Table 2, and additions to the paper, which are off by default."""

    rho: float = setting(0.95, "RMSProp: decay of the mean square", low=0, below=1)
    momentum: float = setting(0.9, "RMSProp: momentum", low=0, below=1)
    epsilon: float = setting(1e-8, "RMSProp: epsilon, inside the root", above=0)
    rms_start: float = setting(
        1.0,
        "RMSProp: initial value of the mean square: 1 as in TensorFlow 1; 1e6 after "
        "--initial_weights",
        low=0,
    )
    global_batch_size: int = setting(32, "Images per step, over all devices", low=1)
    conditioning_weight: float = setting(
        1.0, "Weight of CE(A) beside CE(A + B): 1 is equation 8, 0 equation 7", low=0
    )
    train_steps: int = setting(
        200_000, "Steps: 200,000 for faces, 2,000,000 for bedrooms", fixed=False, low=1
    )
    learning_rate: float = setting(4e-4, "Initial learning rate", fixed=False, above=0)
    halve_every: int = setting(500_000, "Halve the learning rate every so many steps", low=1)
    fall_steps: int = setting(
        0,
        "Last steps, over which the learning rate falls linearly to zero; 0: none (the paper)",
        fixed=False,
        low=0,
    )
    clip_norm: float = setting(
        0.0, "Largest global norm of the gradient; 0: no limit (the paper)", fixed=False, low=0
    )
    ema: float = setting(
        0.0,
        "Decay of the weights' moving average, which is evaluated and saved; 0: none",
        low=0,
        below=1,
    )
    mixed_precision: bool = setting(
        False, "Compute in bfloat16; weights stay in float32", fixed=False
    )
    jit_compile: bool = setting(False, "Compile the step with XLA (one device only)")
    seed: int = setting(
        1, "Seed of the weights, the data order and the samples", low=0, high=2**31 - 1
    )
    initial_weights: str = setting(
        "",
        "Start from trained weights: faces, a run directory, or a .weights.h5 file",
        is_path=True,
    )


@dataclasses.dataclass(frozen=True)
class Schedule(Section):
    """When training logs, validates, saves and draws, in steps; it does all at the end, too.

    Only `on_nan` may change the weights.
    """

    log_every: int = setting(100, "Steps between lines of training scores", low=1)
    eval_every: int = setting(1000, "Steps between validations", low=1)
    eval_images: int = setting(512, "Images per validation", low=1)
    checkpoint_every: int = setting(1000, "Steps between checkpoints", low=1)
    sample_every: int = setting(0, "Steps between sample grids; 0: only at the end", low=0)
    sample_images: int = setting(4, "Rows of a grid; 0: no grid", low=0)
    num_samples: int = setting(3, "Samples per row", low=1)
    tau: float = setting(1.1, TAU, above=0, high=math.inf)
    on_nan: str = setting(
        "stop",
        "If the loss is not finite: stop, or restore a checkpoint",
        choices=("stop", "restore"),
    )


@dataclasses.dataclass(frozen=True)
class Sampling(Section):
    """How an image is drawn: softmax(tau (B + (1 + guidance) A)), one sub-pixel after another."""

    tau: float = setting(1.1, TAU, above=0, high=math.inf)
    guidance: float = setting(
        0.0,
        "How closely samples follow the input: 0 as in the paper, 2 to 3 closely (diffusers' scale "
        "is 1 + guidance)",
        low=0,
    )
    match_input: bool = setting(
        False, "Change each sample as little as possible so that it reduces to its input"
    )

    @property
    def in_paper(self) -> bool:
        """Whether the paper draws this way: without guidance and matching."""
        return not self.guidance and not self.match_input

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
        return parts + (["matched"] if self.match_input else [])


@dataclasses.dataclass(frozen=True)
class Hparams:
    """All settings of a run. Its `sampling` is the paper's, or what a bundled model recommends."""

    model: ModelHparams = ModelHparams()
    data: DataHparams = DataHparams()
    training: TrainingHparams = TrainingHparams()
    sampling: Sampling = Sampling()

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: `settings` is not what `to_dict` returns.
        """
        sections, settings = dataclasses.fields(cls), {"sampling": {}, **settings}
        return cls(**{one.name: _read_section(one.type, settings[one.name]) for one in sections})

    def check(self) -> None:
        """Raises `UserError` for numbers that no run can be trained with.

        The networks' constructors check the rest.
        """
        for section in (self.model, self.data, self.training, self.sampling):
            section.check()
        data, scale = self.data, self.model.scale
        if data.pairs != "downsampled" and data.image_size % (4 * scale):
            raise UserError(
                f"pairs={data.pairs} needs an image_size that is a multiple of four times "
                f"scale, not {data.image_size} with scale {scale}"
            )


def _read_section(section, values):
    """A section from a dict that was read from a file."""
    if not isinstance(values, dict):
        raise TypeError(f"{section.__name__} must be an object, not {values!r}")
    values = {name: value for name, value in values.items() if name not in _RETIRED}
    for field in dataclasses.fields(section):
        value, choices = values.get(field.name, field.default), field.metadata["choices"]
        if choices and value not in choices:
            raise ValueError(f"{field.name} must be one of {', '.join(choices)}, not {value!r}")
        if type(value) is not field.type and not (field.type is float and type(value) is int):
            raise TypeError(f"{field.name} must be {field.type.__name__}, not {value!r}")
    return section(**values)


_RETIRED = ("root", "learning_rate_factor")  # state that version 0.2 kept among the settings

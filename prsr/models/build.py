"""Builds a model from settings."""

from prsr.models.pixel_independent import PixelIndependent
from prsr.models.pixel_recursive import PixelRecursiveSuperResolution
from prsr.models.regression import RegressionNetwork
from prsr.system.errors import UserError

_BASELINES = {"regression": RegressionNetwork, "cross_entropy": PixelIndependent}


def build_model(hparams, dtype="float32"):
    """Builds the model that the settings describe, weights included.

    Args:
        hparams: `prsr.hparams.Hparams`.
        dtype: Keras dtype policy, such as `"mixed_bfloat16"`.

    Returns:
        A `PixelRecursiveSuperResolution`, `RegressionNetwork` or `PixelIndependent`.

    Raises:
        UserError: the settings do not describe a valid model.
    """
    size, scale = hparams.data.image_size, hparams.model.scale
    settings = {**vars(hparams.model), "dtype": dtype}
    architecture = settings.pop("architecture")
    try:
        if architecture == "pixel_recursive":
            model = PixelRecursiveSuperResolution(**settings)
        else:
            settings["width"] = settings["conditioning_width"]
            names = ("channels", "scale", "blocks_per_stage", "width", "normalization", "dtype")
            model = _BASELINES[architecture](**{name: settings[name] for name in names})
    except ValueError as error:
        raise UserError(str(error)) from error
    if size < scale or size % scale:
        raise UserError(f"image_size must be a multiple of scale={scale}; got {size}")
    model.build((None, size // scale, size // scale, hparams.model.channels))
    return model

"""Settings to a model."""

import keras

from prsr.errors import UserError
from prsr.models.conditioning import ConditioningNetwork
from prsr.models.pixel_recursive import PixelRecursiveSuperResolution
from prsr.models.regression import RegressionNetwork

_BASELINES = {"regression": RegressionNetwork, "cross_entropy": ConditioningNetwork}


def build_model(hparams, dtype=None):
    """The model of some settings, with its weights made.

    Args:
        hparams: `prsr.hparams.Hparams`.
        dtype: Keras dtype policy, such as `"mixed_bfloat16"`; None for float32.

    Returns:
        A `PixelRecursiveSuperResolution`, `RegressionNetwork` or `ConditioningNetwork`.

    Raises:
        UserError: the settings describe no model that works, or Keras is set otherwise than it
            comes.
    """
    usual = ("channels_last", "float32")
    if (found := (keras.config.image_data_format(), keras.config.floatx())) != usual:
        raise UserError(
            f"Keras is set to {' and '.join(found)} (keras.json, or keras.config), and this model "
            f"needs {' and '.join(usual)}: call keras.config.set_image_data_format and "
            f"keras.config.set_floatx with these"
        )
    size, scale = hparams.data.image_size, hparams.model.scale
    try:
        model = _construct(**vars(hparams.model), dtype=dtype or "float32")
    except ValueError as error:
        raise UserError(str(error)) from error
    if size < scale or size % scale:
        raise UserError(f"image_size must be a multiple of scale, not {size} with scale {scale}")
    low_shape = (1, size // scale, size // scale, hparams.model.channels)
    high_shape = (1, size, size, hparams.model.channels)
    if hparams.model.architecture == "pixel_recursive":
        model(keras.ops.zeros(low_shape), keras.ops.zeros(high_shape))
    else:
        model(keras.ops.zeros(low_shape))
    return model


def _construct(architecture, dtype, conditioning_width, **settings):
    if architecture == "pixel_recursive":
        return PixelRecursiveSuperResolution(
            conditioning_width=conditioning_width, **settings, dtype=dtype
        )
    own = {name: settings[name] for name in ("channels", "scale", "blocks_per_stage")}
    return _BASELINES[architecture](
        width=conditioning_width, normalization=settings["normalization"], **own, dtype=dtype
    )

"""Keras models: the networks of Table 2 and their sum, all registered when this is imported."""

from prsr.models.conditioning import ConditioningNetwork
from prsr.models.pixel_recursive import PixelRecursiveSuperResolution
from prsr.models.prior import GatedPixelCNN
from prsr.models.regression import RegressionNetwork
from prsr.models.rmsprop import RMSProp

__all__ = [
    "ConditioningNetwork",
    "GatedPixelCNN",
    "PixelRecursiveSuperResolution",
    "RMSProp",
    "RegressionNetwork",
]

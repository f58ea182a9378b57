"""The Keras models: Table 2's networks, their sum, and the optimizer. Importing registers them."""

from prsr.models.conditioning import ConditioningNetwork
from prsr.models.pixel_independent import PixelIndependent
from prsr.models.pixel_recursive import PixelRecursiveSuperResolution
from prsr.models.prior import GatedPixelCNN
from prsr.models.regression import RegressionNetwork
from prsr.models.rmsprop import RMSProp

__all__ = [
    "ConditioningNetwork",
    "GatedPixelCNN",
    "PixelIndependent",
    "PixelRecursiveSuperResolution",
    "RMSProp",
    "RegressionNetwork",
]

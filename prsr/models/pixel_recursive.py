"""The paper's model of p(y | x): the sum of the logits A(x) and B(y)."""

from typing import Any, NamedTuple

from prsr.models import inspection, layers, losses
from prsr.models.conditioning import ConditioningNetwork
from prsr.models.prior import GatedPixelCNN
from prsr.models.scored import ScoredModel


class Logits(NamedTuple):
    """Logits of every sub-pixel, each `[batch, height * scale, width * scale, channels, 256]`."""

    conditioning: Any  # A(x)
    prior: Any  # B(y)
    joint: Any  # their sum


def guided(conditioning_logits, guidance):
    return (1.0 + guidance) * conditioning_logits


@layers.registered
class PixelRecursiveSuperResolution(ScoredModel):
    """The model of the paper (equation 6).

    p(y_i | x, y_<i) = softmax(A_i(x) + B_i(y_<i)), with sub-pixels i ordered by row, column, then
    channel.

    Args:
        channels: 3 (RGB) or 1 (grey).
        scale: upscaling factor, a power of two.
        blocks_per_stage: the paper's B: 6 for faces, 10 for bedrooms.
        conditioning_width: feature maps of the conditioning network.
        normalization: of the conditioning network's ResNet blocks, `"batch"` or `"none"`.
        prior_width: feature maps of each stack of the PixelCNN.
        prior_layers: gated layers of the PixelCNN.
        prior_hidden: feature maps before the PixelCNN's logits.

    Raises:
        ValueError: an argument is invalid.
    """

    has_likelihood = True
    score_names = ("joint", "conditioning", "prior")

    def __init__(
        self,
        channels=3,
        scale=4,
        blocks_per_stage=6,
        conditioning_width=32,
        normalization="batch",
        prior_width=64,
        prior_layers=20,
        prior_hidden=1024,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.channels, self.scale = channels, scale
        self.conditioning = ConditioningNetwork(
            channels,
            scale,
            blocks_per_stage,
            conditioning_width,
            normalization,
            dtype=self.dtype_policy,
        )
        self.prior = GatedPixelCNN(
            channels, prior_width, prior_layers, prior_hidden, dtype=self.dtype_policy
        )

    def build(self, input_shape):
        if isinstance(input_shape[0], tuple):
            input_shape = input_shape[0]
        self.conditioning.build(input_shape)
        self.prior.build(self.conditioning.compute_output_shape(input_shape)[:-1])

    def call(self, low_res, high_res=None, training=False, guidance=0.0):
        """Returns the joint logits of every sub-pixel, given those before it.

        Args:
            low_res: `[batch, height, width, channels]`, 0..255, any dtype.
            high_res: `[batch, height * scale, width * scale, channels]`, 0..255, any dtype. If
                None, the result is A(x): Keras' steps and `predict` pass only one input.
            training: whether batch normalisation uses (and tracks) the batch's statistics.

        Returns:
            Logits `[batch, height * scale, width * scale, channels, 256]`.

        Raises:
            ValueError: the shapes of `low_res` and `high_res` do not match.
        """
        if isinstance(low_res, tuple):
            low_res, high_res = low_res
            self._check(low_res, high_res)
            a, b = self.conditioning(low_res, training=training), self.prior(high_res)
            return Logits(a, b, guided(a, guidance) + b)
        if high_res is None:
            return self.conditioning(low_res, training=training)
        self._check(low_res, high_res)
        conditioning_logits = self.conditioning(low_res, training=training)
        prior_logits = self.prior(high_res)
        return conditioning_logits + prior_logits  # equation 6

    def compute_output_shape(self, input_shape):
        return self.conditioning.compute_output_shape(input_shape)

    def get_config(self):
        conditioning, prior = self.conditioning.get_config(), self.prior.get_config()
        return {
            **super().get_config(),
            "channels": self.channels,
            "scale": self.scale,
            "blocks_per_stage": conditioning["blocks_per_stage"],
            "conditioning_width": conditioning["width"],
            "normalization": conditioning["normalization"],
            "prior_width": prior["width"],
            "prior_layers": prior["num_layers"],
            "prior_hidden": prior["hidden"],
        }

    def output_scores(self, outputs, high_res):
        return losses.cross_entropies(outputs, self.prior(high_res), high_res)

    def recalibrate_batch_norm(self, batches):
        """Calls `ResNetTrunk.recalibrate_batch_norm` on the conditioning network."""
        self.conditioning.recalibrate_batch_norm(batches)

    def log_likelihood(self, low_res, high_res):
        """Returns the exact log p(y | x) (equation 5).

        Args:
            low_res, high_res: as for `call`.

        Returns:
            `[batch]` float, at most 0, in nats per image. Negate it and pass it to
            `losses.bits_per_dim` for bits per dimension.
        """
        return -losses.nats_per_image(self(low_res, high_res), high_res)

    def inspect(self, low_res, high_res):
        """Compares the distributions of A, B and their sum for each sub-pixel, in one pass.

        Args:
            low_res: as for `call`.
            high_res: as for `call`; each sub-pixel is predicted from those before it.

        Returns:
            The dict of `prsr.models.inspection.compare`: tensors `[batch, height * scale,
            width * scale, channels]`, with a last axis of 256 for logits.

        Raises:
            ValueError: the shapes of `low_res` and `high_res` do not match.
        """
        self._check(low_res, high_res)
        return inspection.compare(self.conditioning(low_res), self.prior(high_res), high_res)

    def _check(self, low_res, high_res):
        (low_height, low_width, low_channels) = low_res.shape[1:]
        expected = (low_height * self.scale, low_width * self.scale, low_channels)
        if tuple(high_res.shape[1:]) != expected or low_channels != self.channels:
            raise ValueError(
                f"with scale {self.scale} and {self.channels} channels, low_res "
                f"{tuple(low_res.shape)} and high_res {tuple(high_res.shape)} do not match: "
                f"expected [batch, h, w, {self.channels}] and "
                f"[batch, {self.scale} h, {self.scale} w, {self.channels}]"
            )

"""The paper's model of p(y | x): the sum of the logits A(x) and B(y)."""

from typing import Any, NamedTuple

from keras import ops

from prsr.models import inspection, layers, losses
from prsr.models.conditioning import ConditioningNetwork
from prsr.models.prior import GatedPixelCNN
from prsr.models.scored import ScoredModel


class Logits(NamedTuple):
    """Tensors `[batch, height, width, channels, 256]`, float32 or wider."""

    conditioning: Any  # A(x)
    prior: Any  # B(y)
    joint: Any  # their sum, equation 6


def guided(conditioning_logits, guidance):
    """Returns (1 + guidance) A(x), in place of A(x) in equation 6. Paper: guidance is 0."""
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
    metric_names = (
        "bits_per_dim/joint",
        "bits_per_dim/conditioning",
        "bits_per_dim/prior",
        "nats_per_image",
    )

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
        """Makes the weights.

        Args:
            input_shape: of `low_res`, or of the pair `(low_res, high_res)`.
        """
        low_shape = input_shape if len(input_shape) == 4 else input_shape[0]
        self.conditioning.build(low_shape)
        self.prior.build(self.conditioning.compute_output_shape(low_shape)[:-1])

    def call(self, inputs, training=False, guidance=0.0):
        """Computes the logits of every sub-pixel, given those before it.

        Args:
            inputs: the pair `(low_res, high_res)`: `[batch, height, width, channels]` and
                `[batch, height * scale, width * scale, channels]`, 0..255, any dtype.
            training: whether batch normalisation uses (and tracks) the batch's statistics.
            guidance: extra weight of A; 0 as in the paper.

        Returns:
            `Logits`. Training, scoring, inspection and the reference sampler all come through here.

        Raises:
            ValueError: the inputs are not such a pair.
        """
        low_res, high_res = self._checked(inputs)
        conditioning_logits = losses.widen(self.conditioning(low_res, training=training))
        prior_logits = losses.widen(self.prior(high_res))
        joint_logits = guided(conditioning_logits, guidance) + prior_logits  # equation 6
        return Logits(conditioning_logits, prior_logits, joint_logits)

    def compute_output_shape(self, input_shape):
        low_shape = input_shape if len(input_shape) == 4 else input_shape[0]
        return Logits(*[self.conditioning.compute_output_shape(low_shape)] * 3)

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

    def train_step(self, *args):
        """Keras' own step, which calls the model with `(low_res, high_res)` as its input."""
        return super().train_step(*_as_inputs(args))

    def test_step(self, *args):
        return super().test_step(*_as_inputs(args))

    def scores(self, low_res, high_res, training=False):
        return self.output_scores(self((low_res, high_res), training=training), high_res)

    def output_scores(self, outputs, high_res):
        """Returns the cross-entropies of softmax(A + B), softmax(A) and softmax(B), as `scores`.

        The last is monitored but not trained on.
        """
        return {
            "joint": losses.nats_per_image(outputs.joint, high_res),
            "conditioning": losses.nats_per_image(outputs.conditioning, high_res),
            "prior": losses.nats_per_image(ops.stop_gradient(outputs.prior), high_res),
        }

    def objective(self, scores, conditioning_weight=1.0):
        """Returns CE(A + B) + CE(A) for each image (equation 8); with weight 0, equation 7."""
        return scores["joint"] + conditioning_weight * scores["conditioning"]

    def recalibrate_batch_norm(self, batches):
        """Calls `ResNetTrunk.recalibrate_batch_norm` on the conditioning network."""
        self.conditioning.recalibrate_batch_norm(batches)

    def log_likelihood(self, low_res, high_res):
        """Returns the exact log p(y | x) (equation 5).

        Args:
            low_res, high_res: as for `call`.

        Returns:
            `[batch]` float, at most 0, in nats per image.
        """
        return -losses.nats_per_image(self((low_res, high_res)).joint, high_res)

    def inspect(self, low_res, high_res):
        """Compares A, B and their sum for each sub-pixel: the dict of `inspection.compare`.

        Args:
            low_res, high_res: as for `call`; each sub-pixel is predicted from those before it.
        """
        return inspection.compare(self((low_res, high_res)), high_res)

    def _checked(self, inputs):
        if not isinstance(inputs, (tuple, list)) or len(inputs) != 2:
            raise ValueError("the model's input is a pair (low_res, high_res)")
        low_res, high_res = inputs
        (low_height, low_width, low_channels) = low_res.shape[1:]
        expected = (low_height * self.scale, low_width * self.scale, low_channels)
        if tuple(high_res.shape[1:]) != expected or low_channels != self.channels:
            raise ValueError(
                f"with scale {self.scale} and {self.channels} channels, low_res "
                f"{tuple(low_res.shape)} and high_res {tuple(high_res.shape)} do not match: "
                f"expected [batch, h, w, {self.channels}] and "
                f"[batch, {self.scale} h, {self.scale} w, {self.channels}]"
            )
        return low_res, high_res


def _as_inputs(args):
    """Makes the pair the input in the arguments of a Keras step: data, or state and data."""
    *state, (low_res, high_res, *weight) = args
    return *state, ((low_res, high_res), high_res, *weight)

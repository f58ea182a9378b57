"""What is trained: a Keras model with scores, whose `fit` and `evaluate` go by them."""

import types

import keras

from prsr.models import losses


class _Mean(keras.losses.Loss):
    """The mean over the batch, of all replicas, of losses that are computed already."""

    def call(self, _, values):
        return values


class ScoredModel(keras.Model):
    """A model that is trained on pairs of low and high resolution.

    `compile(optimizer=prsr.models.RMSProp())` needs no loss, and `fit` takes batches
    of `(low_res, high_res)`, or `(low_res, high_res, weight)` with a `[batch]` weight of each
    image. Keras' own step, on whatever backend, then asks `compute_loss`.

    After training with batch normalisation call `recalibrate_batch_norm`, or give `fit` a
    `prsr.training.callbacks.FreshStatistics`.

    Attributes:
        has_likelihood: whether the model gives images a probability.
        score_names: the keys of `scores`.
    """

    has_likelihood: bool
    score_names: tuple[str, ...]

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # Keras' own steps would have XLA compile them: no faster on CPUs, and it cannot resize.
        self.supports_jit = keras.backend.backend() != "tensorflow"
        names = losses.readable(dict.fromkeys(self.score_names, 0.0), (1, 1, 1))
        # No plain dict, which Keras would look through, and save with the weights.
        self._means = types.MappingProxyType(
            {name: keras.metrics.Mean(name, dtype="float32") for name in names}
        )
        self._mean_of = _Mean("objective", dtype="float32")

    def output_scores(self, outputs, high_res):
        """The scores of what `call` returns for the low-resolution images alone.

        Args:
            outputs: `call(low_res)`.
            high_res: as `scores`.

        Returns:
            As `scores`.
        """
        raise NotImplementedError

    def scores(self, low_res, high_res, training=False):
        """What training watches; `losses.objective` of them is the loss.

        Args:
            low_res: `[batch, height, width, channels]`, 0..255, any dtype.
            high_res: `[batch, height * scale, width * scale, channels]`, 0..255, any dtype.
            training: whether batch normalisation uses (and tracks) the batch's statistics.

        Returns:
            A dict of `[batch]` tensors: `"joint"`, `"conditioning"` and `"prior"`, in nats an image
            (`losses.cross_entropies`), of the baselines one: `"conditioning"`, or of a regression
            `"squared_error"`, summed over sub-pixels, on [0, 1].
        """
        return self.output_scores(self(low_res, training=training), high_res)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras' name for the loss of a batch: `losses.objective`, averaged over the images.

        Args:
            x, y: `low_res` and `high_res`, as `scores`.
            y_pred: `call(x)`.
            sample_weight: `[batch]`, or None.
            training: as `scores`.

        Returns:
            A scalar.
        """
        scores = self.output_scores(y_pred, y)
        for name, values in losses.readable(scores, y.shape[1:]).items():
            self._means[name].update_state(values, sample_weight)
        loss = losses.objective(scores)
        return self._mean_of(loss, loss, sample_weight)

    @property
    def metrics(self):
        """Keras' loss, and the scores as `losses.readable` has them."""
        return [*super().metrics, *self._means.values()]

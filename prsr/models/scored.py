"""The base class of the trained models: a Keras model whose `fit` and `evaluate` use its scores."""

import types

import keras

from prsr.models import losses


class _Mean(keras.losses.Loss):
    """Averages losses that are already computed over the batch of all replicas."""

    def call(self, _, values):
        return values


class ScoredModel(keras.Model):
    """A model trained on pairs of low- and high-resolution images.

    `compile(optimizer=prsr.models.RMSProp())` needs no loss. `fit` takes batches of
    `(low_res, high_res)` or `(low_res, high_res, weight)`, with a `[batch]` weight per image; on
    every backend, Keras' own train step then calls `compute_loss`.

    After training with batch normalisation, call `recalibrate_batch_norm`, or give `fit` a
    `prsr.training.callbacks.FreshStatistics`.

    Attributes:
        has_likelihood: whether the model assigns a probability to an image.
        score_names: the keys of `scores`.
    """

    has_likelihood: bool
    score_names: tuple[str, ...]

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # On TensorFlow, Keras would compile its steps with XLA: no faster on CPUs, and XLA cannot
        # resize images.
        self.supports_jit = keras.backend.backend() != "tensorflow"
        names = losses.readable(dict.fromkeys(self.score_names, 0.0), (1, 1, 1))
        # Not a plain dict: Keras would track its contents and save them with the weights.
        self._means = types.MappingProxyType(
            {name: keras.metrics.Mean(name, dtype="float32") for name in names}
        )
        self._mean_of = _Mean("objective", dtype="float32")

    def output_scores(self, outputs, high_res):
        """Computes the scores from the output of `call(low_res)`.

        Args:
            outputs: `call(low_res)`.
            high_res: as for `scores`.

        Returns:
            As `scores`.
        """
        raise NotImplementedError

    def scores(self, low_res, high_res, training=False):
        """Returns the scores of each image; `losses.objective` of them is the loss.

        Args:
            low_res: `[batch, height, width, channels]`, 0..255, any dtype.
            high_res: `[batch, height * scale, width * scale, channels]`, 0..255, any dtype.
            training: whether batch normalisation uses (and tracks) the batch's statistics.

        Returns:
            A dict of `[batch]` tensors. The paper's model returns `"joint"`, `"conditioning"` and
            `"prior"` in nats per image (`losses.cross_entropies`); the cross-entropy baseline only
            `"conditioning"`; the regression only `"squared_error"`, summed over sub-pixels, on
            [0, 1].
        """
        return self.output_scores(self(low_res, training=training), high_res)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the loss of a batch to Keras: `losses.objective`, averaged over the images.

        Args:
            x, y: `low_res` and `high_res`, as for `scores`.
            y_pred: `call(x)`.
            sample_weight: `[batch]`, or None.
            training: as for `scores`.

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
        """Keras' loss, and the scores in the units of `losses.readable`."""
        return [*super().metrics, *self._means.values()]

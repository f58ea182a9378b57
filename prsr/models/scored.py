"""The base class of the trained models: a Keras model whose `fit` and `evaluate` use its scores."""

import types

import keras

from prsr.models import losses


class _ScoreMean(keras.losses.Loss):
    """Averages losses that are already computed over the batch of all replicas."""

    def call(self, _, values):
        return values


class ScoredModel(keras.Model):
    """A model trained on pairs of low- and high-resolution images.

    `compile(optimizer=prsr.models.RMSProp())` needs no loss. `fit` and `evaluate` take batches of
    `(low_res, high_res)` or `(low_res, high_res, weight)`, with a `[batch]` weight per image; on
    every backend, Keras' own steps then call `compute_loss`.

    After training with batch normalisation, call `recalibrate_batch_norm`, or give `fit` a
    `prsr.training.callbacks.FreshStatistics`.

    Attributes:
        has_likelihood: whether the model assigns a probability to an image.
        metric_names: the keys of `readable`.
    """

    has_likelihood: bool
    metric_names: tuple[str, ...]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # On TensorFlow, Keras would compile its steps with XLA: no faster on CPUs, and XLA cannot
        # resize images.
        self.supports_jit = keras.backend.backend() != "tensorflow"
        # Not a plain dict: Keras would track its contents and save them with the weights.
        self._means = types.MappingProxyType(
            {name: keras.metrics.Mean(name, dtype="float32") for name in self.metric_names}
        )
        self._mean_of = _ScoreMean("objective", dtype="float32")

    def fit(self, *args, **kwargs):
        if not self.built:  # Keras would try to with low_res alone
            self.build((None, None, None, self.channels))
        return super().fit(*args, **kwargs)

    def output_scores(self, outputs, high_res):
        """Returns the `scores` of what `call` returned."""
        raise NotImplementedError

    def scores(self, low_res, high_res, training=False):
        """Returns the scores of each image; `objective` of them is the loss.

        Args:
            low_res: `[batch, height, width, channels]`, 0..255, any dtype.
            high_res: `[batch, height * scale, width * scale, channels]`, 0..255, any dtype.
            training: whether batch normalisation uses (and tracks) the batch's statistics.

        Returns:
            A dict of `[batch]` tensors. The paper's model returns `"joint"`, `"conditioning"` and
            `"prior"` in nats per image (`losses.cross_entropies`); the pixel-independent baseline
            only `"conditioning"`; the regression only `"squared_error"`, summed over sub-pixels, on
            [0, 1].
        """
        return self.output_scores(self(low_res, training=training), high_res)

    def objective(self, scores, conditioning_weight=1.0):
        """Returns the training loss of each image, `[batch]`, from its `scores`.

        Only the paper's model has a CE(A) beside its own, which `conditioning_weight` multiplies.
        """
        return sum(scores.values())

    def readable(self, scores, image_shape):
        """Converts scores to the units that are printed and saved.

        Args:
            scores: dict of the model's `scores`, or of their means over images; other entries are
                dropped.
            image_shape: `(height, width, channels)` of the high-resolution image.

        Returns:
            A dict: `"bits_per_dim/NAME"` for each cross-entropy and `"nats_per_image"` for the
            model itself, or, for a regression, `"mean_squared_error"` on [0, 1].
        """
        names = [name for name in ("joint", "conditioning", "prior") if name in scores]
        result = {
            f"bits_per_dim/{name}": losses.bits_per_dim(scores[name], image_shape) for name in names
        }
        return {**result, "nats_per_image": scores[names[0]]}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the loss of a batch to Keras: `objective`, averaged over the images.

        Args:
            x, y: what `call` takes, and `high_res`, as for `scores`.
            y_pred: what `call` returned.
            sample_weight: `[batch]`, or None.
            training: as for `scores`.

        Returns:
            A scalar.
        """
        scores = self.output_scores(y_pred, y)
        for name, values in self.readable(scores, y.shape[1:]).items():
            self._means[name].update_state(values, sample_weight)
        loss = self.objective(scores)
        return self._mean_of(loss, loss, sample_weight)

    @property
    def metrics(self):
        """Keras' loss, and the scores in the units of `readable`."""
        return [*super().metrics, *self._means.values()]

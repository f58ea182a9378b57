"""A Keras callback that `fit` needs for models with batch normalisation."""

import keras


class FreshStatistics(keras.callbacks.Callback):
    """Recomputes batch normalisation's statistics before each validation and after each epoch.

    At Table 2's learning rate, Keras' moving statistics lag so far behind the weights that scores
    get worse. Put this before callbacks that save the model.

    Args:
        batches: list of `low_res`, as for `ScoredModel.scores`; 16 training batches are enough.
    """

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_test_begin(self, logs=None):
        self.model.recalibrate_batch_norm(self.batches)

    def on_epoch_end(self, epoch, logs=None):
        self.model.recalibrate_batch_norm(self.batches)

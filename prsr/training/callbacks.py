"""What `fit` needs besides Keras' own callbacks, on Keras alone."""

import keras


class FreshStatistics(keras.callbacks.Callback):
    """Takes batch normalisation's statistics afresh before each validation and after each epoch.

    At Table 2's learning rate the weights outrun Keras' moving statistics, and scores by these are
    too bad. Put it before callbacks that save the model.

    Args:
        batches: list of `low_res`, as `ScoredModel.scores` takes them; sixteen of training will do.
    """

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_test_begin(self, logs=None):
        self.model.recalibrate_batch_norm(self.batches)

    def on_epoch_end(self, epoch, logs=None):
        self.model.recalibrate_batch_norm(self.batches)

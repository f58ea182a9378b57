"""The fast sampler: computes every activation of the PixelCNN only once.

It draws the same images as the reference (`naive`), up to floating-point rounding:

- *Rows.* Row r depends on the vertical stack up to row r - 1. When a row starts, the stack's new
  row is computed for all columns, layer by layer, from a few cached rows of each layer's input.
  Most of the work happens here, in large convolutions.
- *Pixels.* Within a row only the horizontal stack remains. Its left taps see only finished pixels,
  so each pixel starts with one batched product for the left taps of all layers.
- *Channels.* A feature belongs to a channel and sees no later one (`channel_groups`). A pixel is
  drawn in one narrow step per channel, each with that channel's features; together the steps cost
  as much as one full pass.

Each gate's columns are reordered by channel: tanh's then sigmoid's of R, of G, of B. The columns
of features s to e are then 2 s to 2 e.

In shapes, `L`, `F` and `hidden` are the prior's number of layers, width and hidden features.
"""

import contextlib
import functools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from prsr import images
from prsr.models import layers, likelihood
from prsr.models.conditioning import INTENSITIES
from prsr.models.pixel_recursive import guided
from prsr.sampling import noise
from prsr.system import host

_PART = 8  # images: enough to use one core well
_MAX_PARTS = 64  # in parallel; TensorFlow has one thread per core


class ToDraw(NamedTuple):
    """A batch of images to draw, with everything that it depends on but the prior's weights."""

    conditioning_logits: tf.Tensor  # (1 + guidance) A(x), [batch, height, width, channels, 256]
    uniforms: tf.Tensor  # [batch, height, width, channels] float32 in (0, 1)
    given: tf.Tensor  # [batch, height, width, channels] int32: a value to keep, or -1 to draw
    tau: tf.Tensor  # scalar float32

    @property
    def image_shape(self):
        return self.uniforms.shape[1:]

    def map(self, function):
        """Applies a function to the tensors that have a batch."""
        return ToDraw(*map(function, self[:-1]), self.tau)


class _ChannelWeights(NamedTuple):
    """The weights for drawing one channel, which owns features `start` to `stop`."""

    first: tf.Tensor  # [earlier channels, stop - start]
    earlier_gates: tf.Tensor  # [L, start, 2 (stop - start)]: from earlier channels' features
    gates: tf.Tensor  # [L, stop - start, 2 (stop - start)]
    earlier_residuals: tf.Tensor  # [L, start, stop - start]: from earlier channels' features
    residuals: tf.Tensor  # [L, stop - start, stop - start]
    residual_biases: tf.Tensor  # [L, 1, stop - start]
    hidden: tf.Tensor  # [stop, hidden features of this channel]
    hidden_bias: tf.Tensor
    logits: tf.Tensor  # [hidden features up to this channel, 256]
    logits_bias: tf.Tensor

    @property
    def features(self):
        """The slice of this channel's features."""
        stop = self.hidden.shape[0]
        return slice(stop - self.first.shape[1], stop)

    @property
    def gate_columns(self):
        """The slice of their columns in a gate."""
        return slice(2 * self.features.start, 2 * self.features.stop)


class _SamplerWeights(NamedTuple):
    """A prior's weights, sliced and reordered for drawing."""

    # At the start of a row.
    first_kernel: tf.Tensor  # [4, 7, channels, F]
    first_bias: tf.Tensor  # [F]
    vertical_kernels: tf.Tensor  # [L, reach + 1, 2 reach + 1, F, 2F]
    vertical_biases: tf.Tensor  # [L, 2F]
    projections: tf.Tensor  # [L, 2F, 2F], columns by channel: from vertical to horizontal gates
    gate_biases: tf.Tensor  # [L, 2F], by channel: the projection's and the horizontal stack's
    # For a pixel.
    first_left: tf.Tensor  # [3, channels, F]
    first_left_bias: tf.Tensor  # [F]
    left: tf.Tensor  # [L, reach * F, 2F]: the left taps of all layers
    channels: list[_ChannelWeights]


class _RowCache(NamedTuple):
    """The cache: what a row needs from those above it."""

    image: tf.Tensor  # the last rows drawn, [batch, 4, width, channels] in [-0.5, 0.5]
    # The last rows of each layer's vertical input, one fewer than the kernel's height.
    features: tf.Tensor  # [L, batch, reach, width, F]


def _channel_spans(features, channels):
    """Returns the slice of each channel's features."""
    groups = layers.channel_groups(features, channels)
    edges = np.searchsorted(groups, np.arange(channels + 1)).tolist()
    return [slice(start, stop) for start, stop in zip(edges[:-1], edges[1:])]


def _read_weights(prior):
    """Returns the current `_SamplerWeights` of a built `GatedPixelCNN`."""

    def read(variable):
        return tf.cast(tf.convert_to_tensor(variable), prior.compute_dtype)

    def read_all(variables):
        return read(tf.stack([tf.convert_to_tensor(variable) for variable in variables]))

    gated, width = prior.gated_layers, prior.hidden.kernel.shape[2]
    spans = _channel_spans(width, prior.channels)
    order = np.arange(2 * width).reshape(2, width)  # tanh's columns, sigmoid's columns
    by_channel = np.concatenate([order[:, span].ravel() for span in spans])

    projections = [layer.vertical_to_horizontal for layer in gated]
    gate_biases = read_all([projection.bias for projection in projections])
    gate_biases += read_all([layer.horizontal.bias for layer in gated])
    first = read(prior.horizontal.kernel)[0]  # [3 left and the centre, channels, F]
    gates = read_all([layer.horizontal.kernel for layer in gated])[:, 0]
    gates = tf.gather(gates, by_channel, axis=-1)  # [L, reach + 1, F, 2F]
    residuals = read_all([layer.residual.kernel for layer in gated])[:, 0, 0]
    residual_biases = read_all([layer.residual.bias for layer in gated])[:, None]
    hidden, hidden_bias = read(prior.hidden.kernel)[0, 0], read(prior.hidden.bias)
    logits, logits_bias = read(prior.logits.kernel)[0, 0], read(prior.logits.bias)
    hidden_spans = _channel_spans(hidden.shape[1], prior.channels)
    logits_spans = _channel_spans(logits.shape[1], prior.channels)

    def read_channel(k):
        span, hidden_span, logits_span = spans[k], hidden_spans[k], logits_spans[k]
        columns = slice(2 * span.start, 2 * span.stop)
        return _ChannelWeights(
            first=first[-1, :k, span],
            earlier_gates=gates[:, -1, : span.start, columns],
            gates=gates[:, -1, span, columns],
            earlier_residuals=residuals[:, : span.start, span],
            residuals=residuals[:, span, span],
            residual_biases=residual_biases[..., span],
            hidden=hidden[: span.stop, hidden_span],
            hidden_bias=hidden_bias[hidden_span],
            logits=logits[: hidden_span.stop, logits_span],
            logits_bias=logits_bias[logits_span],
        )

    return _SamplerWeights(
        first_kernel=read(prior.vertical.kernel),
        first_bias=read(prior.vertical.bias),
        vertical_kernels=read_all([layer.vertical.kernel for layer in gated]),
        vertical_biases=read_all([layer.vertical.bias for layer in gated]),
        projections=tf.gather(read_all([p.kernel for p in projections]), by_channel, axis=-1),
        gate_biases=tf.gather(gate_biases, by_channel, axis=-1),
        first_left=first[:-1],
        first_left_bias=read(prior.horizontal.bias),
        left=tf.reshape(gates[:, :-1], (len(gated), -1, 2 * width)),
        channels=[read_channel(k) for k in range(prior.channels)],
    )


def _through_layers(layer, x, shapes, num_layers):
    """Runs the gated layers in a loop: unrolled code takes twice as long to compile.

    `layer` maps `(i, x)`, the input of layer i, to its output and a tuple of tensors of `shapes`.
    Returns these tensors of all layers, each `[L, ...]`, and the last layer's output.
    """

    def run_next(i, x, *arrays):
        x, outputs = layer(i, x)
        return i + 1, x, *[array.write(i, output) for array, output in zip(arrays, outputs)]

    arrays = [tf.TensorArray(x.dtype, num_layers, element_shape=shape) for shape in shapes]
    loop = (tf.constant(0), x, *arrays)
    _, x, *arrays = tf.while_loop(lambda i, *_: i < num_layers, run_next, loop)
    return *[array.stack() for array in arrays], x


def _newest_row(window, kernel, bias):
    """Maps the last rows, as many as the kernel's, to a `VerticalConv`'s newest row."""
    reach = kernel.shape[1] // 2
    padding = [[0, 0], [0, 0], [reach, reach], [0, 0]]
    return tf.nn.conv2d(window, kernel, 1, padding)[:, 0] + bias


def _empty_row_cache(weights, batch, width):
    """Returns the `_RowCache` of the first row: zeros, like the convolutions' padding."""
    height, _, channels, features = weights.first_kernel.shape
    num_layers, reach = weights.left.shape[0], weights.vertical_kernels.shape[1] - 1
    return _RowCache(
        tf.zeros((batch, height, width, channels), weights.left.dtype),
        tf.zeros((num_layers, batch, reach, width, features), weights.left.dtype),
    )


def _start_row(weights, row, above):
    """Computes everything that a row takes from the rows above it.

    Returns the contributions to the horizontal stack, biases included: `[width, batch, F]` for its
    first layer and `[width, L, batch, 2F]` for the gates; and the next row's `_RowCache.features`.
    """
    # `shift_down` gives row 0 a row of zeros, not the vertical stack above the image. The gate of
    # zeros is zero, so the layers' inputs there are zeros as well.
    is_inside = tf.cast(row > 0, above.image.dtype)
    vertical = is_inside * _newest_row(above.image, weights.first_kernel, weights.first_bias)
    first = vertical + weights.first_left_bias

    def layer(i, vertical):
        window = tf.concat([above.features[i], vertical[:, None]], axis=1)
        kernel, bias = weights.vertical_kernels[i], weights.vertical_biases[i]
        vertical_gate = is_inside * _newest_row(window, kernel, bias)
        return layers.gate(vertical_gate), (vertical_gate, window[:, 1:])

    shapes = [(*vertical.shape[:-1], 2 * vertical.shape[-1]), above.features.shape[1:]]
    gates, features, _ = _through_layers(layer, vertical, shapes, weights.left.shape[0])
    gates = tf.einsum("lbwf,lfg->lbwg", gates, weights.projections)
    gates += weights.gate_biases[:, None, None]
    # Columns first, so that each pixel reads contiguous memory.
    return tf.transpose(first, (1, 0, 2)), tf.transpose(gates, (2, 0, 1, 3)), features


def _draw_pixel(weights, first, gates, conditioning_logits, uniforms, given, tau):
    """Draws a pixel, channel by channel.

    `first`, `[batch, F]`, is the input of the horizontal stack's first layer, except for this
    pixel's earlier channels; `gates`, `[L, batch, 2F]`, the same for each layer's gate. The rest is
    the pixel's part of `ToDraw`, `[channels, batch, ...]`.

    Returns the pixel, `[batch, channels]` int32 in 0..255, and the input of each gated layer,
    `[L, batch, F]`.
    """
    (num_layers, batch, _), dtype = gates.shape, first.dtype
    pixel = tf.zeros((batch, 0), tf.int32)
    # These grow by one channel's features at a time.
    inputs = gated = tf.zeros((num_layers, batch, 0), dtype)
    left, hidden = tf.zeros((batch, 0), dtype), tf.zeros((batch, 0), dtype)
    for k, channel in enumerate(weights.channels):
        # What earlier channels contribute, all layers in one product.
        known_gates = gates[..., channel.gate_columns] + inputs @ channel.earlier_gates
        known_residuals = gated @ channel.earlier_residuals + channel.residual_biases

        def layer(i, x, channel=channel, gates=known_gates, residuals=known_residuals):
            gate = layers.gate(gates[i] + x @ channel.gates[i])
            return x + gate @ channel.residuals[i] + residuals[i], (x, gate)

        x = first[:, channel.features] + images.to_network(pixel, dtype) @ channel.first
        *outputs, x = _through_layers(layer, x, [x.shape] * 2, num_layers)
        inputs, gated = (tf.concat(pair, axis=2) for pair in zip((inputs, gated), outputs))
        left = tf.concat([left, tf.nn.relu(x)], axis=1)
        new_hidden = tf.nn.relu(left @ channel.hidden + channel.hidden_bias)
        hidden = tf.concat([hidden, new_hidden], axis=1)
        prior_logits = tf.cast(hidden @ channel.logits + channel.logits_bias, tf.float32)
        drawn = noise.draw(prior_logits + conditioning_logits[k], tau, uniforms[k])
        value = tf.where(given[k] < 0, drawn, given[k])
        pixel = tf.concat([pixel, value[:, None]], axis=1)
    return pixel, inputs


def _draw_row(weights, to_draw, row, above):
    """Draws a row, pixel by pixel.

    Returns the next row's `_RowCache`, and the row, `[batch, width, channels]` uint8.
    """

    def columns_first(x):
        """Maps `[batch, height, width, channels, ...]` to `[width, channels, batch, ...]`."""
        x = tf.gather(x, row, axis=1)  # XLA would recompile x[:, row] for each row
        return tf.transpose(x, (1, 2, 0, *range(3, len(x.shape))))

    batch, _, width, channels = above.image.shape
    first, gates, features = _start_row(weights, row, above)
    conditioning_logits, uniforms, given, tau = to_draw.map(columns_first)
    num_layers, left_size, _ = weights.left.shape

    def draw_next(column, left, left_features, pixels):
        pixel, inputs = _draw_pixel(
            weights,
            first[column] + tf.tensordot(left, weights.first_left, 2),
            gates[column] + left_features @ weights.left,
            conditioning_logits[column],
            uniforms[column],
            given[column],
            tau,
        )
        seen = images.to_network(pixel, left.dtype)[:, None]
        left = tf.concat([left[:, 1:], seen], axis=1)
        left_features = tf.concat([left_features[..., inputs.shape[-1] :], inputs], axis=2)
        return column + 1, left, left_features, pixels.write(column, pixel)

    *_, pixels = tf.while_loop(
        lambda column, *_: column < width,
        draw_next,
        (
            tf.constant(0),
            tf.zeros((batch, weights.first_left.shape[0], channels), first.dtype),
            tf.zeros((num_layers, batch, left_size), first.dtype),
            tf.TensorArray(tf.int32, width, element_shape=(batch, channels)),
        ),
    )
    pixels = tf.transpose(pixels.stack(), (1, 0, 2))
    seen = images.to_network(pixels, first.dtype)[:, None]
    image = tf.concat([above.image[:, 1:], seen], axis=1)
    return _RowCache(image, features), tf.cast(pixels, tf.uint8)


def _draw_images(weights, to_draw, num_rows):
    """Draws the first `num_rows` rows of images, `[batch, height, width, channels]` uint8."""
    batch, height, width, channels = to_draw.uniforms.shape

    def draw_next(row, above, rows):
        above, drawn = _draw_row(weights, to_draw, row, above)
        return row + 1, above, rows.write(row, drawn)

    *_, rows = tf.while_loop(
        lambda row, *_: row < num_rows,
        draw_next,
        (
            tf.constant(0),
            _empty_row_cache(weights, batch, width),
            tf.TensorArray(tf.uint8, height, element_shape=(batch, width, channels)),
        ),
    )
    return tf.transpose(rows.stack(), (1, 0, 2, 3))


def _guided_logits(model, low_res, guidance):
    """Returns (1 + guidance) A(x), `[batch, height, width, channels, 256]` float32."""
    return guided(tf.cast(model.conditioning(low_res), tf.float32), guidance)


def _parallel_parts(batch):
    """Returns how many equal parts to split a batch into: one per core, if large enough.

    Most products for a pixel are too small to use several cores. A GPU needs no such split.
    """
    if tf.config.list_logical_devices("GPU"):
        return 1
    most = min(host.cores(), batch // _PART)
    return next(parts for parts in range(max(1, most), 0, -1) if batch % parts == 0)


def _check_given(given, shape):
    """Requires values to keep for all images of this shape, or for one."""
    got, fits = type(given).__name__, False
    if isinstance(given, np.ndarray):
        got = f"{list(given.shape)} {given.dtype} in {given.min()}..{given.max()}"
        fits = given.shape in (shape, shape[1:]) and given.dtype.kind in "iu"
    if not (fits and given.min() >= -1 and given.max() <= 255):
        raise ValueError(
            f"given must be an array of {list(shape[1:])} integers from -1 (to draw) to 255, or "
            f"one for each image; got {got}"
        )


class Sampler:
    """The fast sampler of a model, which is compiled once for each batch size.

    Args:
        model: a built `PixelRecursiveSuperResolution`. Its weights are read at each call.
        jit_compile: whether to compile with XLA, which pays off from the first image on.
        devices: names of the TensorFlow devices that share each batch; if empty, TensorFlow
            chooses.
    """

    def __init__(self, model, jit_compile=True, devices=()):
        self._model, self._devices = model, devices
        self._draw = tf.function(self._draw_in_parts, autograph=False)
        self._draw_part = tf.function(_draw_images, autograph=False, jit_compile=jit_compile)
        self._draw_row = tf.function(_draw_row, autograph=False, jit_compile=jit_compile)
        # These would gain nothing from XLA, and take seconds to compile.
        guided_logits = functools.partial(_guided_logits, model)
        self._guided_logits = tf.function(guided_logits, autograph=False, reduce_retracing=True)
        self._uniforms = tf.function(noise.uniforms, autograph=False)
        self._read_weights = _read_weights

    def __call__(self, low_res, seeds, tau, given=None, guidance=0.0):
        """Draws a batch of images.

        Args:
            low_res: `[batch, low height, low width, channels]` in 0..255.
            seeds: `[batch, 2]` int32.
            tau: scalar; infinity is greedy.
            given: `[height, width, channels]` integers that every image keeps, 0..255, and -1 where
                to draw; or such an array for each image; or None.
            guidance: extra weight of A; the logits are tau (B + (1 + guidance) A).

        Returns:
            `[batch, height, width, channels]` uint8.

        Raises:
            ValueError: `given` does not have the shape or range of the images to draw.
        """
        weights, to_draw = self._prepare(low_res, seeds, tau, given, guidance)
        return self._draw(weights, to_draw, tf.constant(to_draw.image_shape[0])).numpy()

    def rows(self, low_res, seeds, tau, given=None, guidance=0.0):
        """Yields the rows from the top, each `[batch, width, channels]` uint8, once drawn."""
        weights, to_draw = self._prepare(low_res, seeds, tau, given, guidance)
        height, width, _ = to_draw.image_shape
        above = _empty_row_cache(weights, len(low_res), width)
        for row in tf.range(height):
            above, drawn = self._draw_row(weights, to_draw, row, above)
            yield drawn.numpy()

    def warm_up(self, shape):
        """Compiles for `low_res` of this shape by drawing no row of blank images.

        It needs the model's shapes but not its weights: call it in a thread while they load. A call
        of the sampler meanwhile waits for it.
        """
        shape = self._image_shape(shape)
        logits, uniforms = tf.zeros((*shape, INTENSITIES)), tf.zeros(shape)
        blank = ToDraw(logits, uniforms, tf.fill(shape, -1), tf.constant(1.0))
        with contextlib.suppress(tf.errors.OpError):  # the first call will raise it again
            self._draw(_read_weights(self._model.prior), blank, tf.constant(0))

    def _image_shape(self, low_res_shape):
        batch, height, width, channels = low_res_shape
        return batch, height * self._model.scale, width * self._model.scale, channels

    def _prepare(self, low_res, seeds, tau, given, guidance):
        """Returns the prior's `_SamplerWeights` and the `ToDraw`."""
        shape = self._image_shape(low_res.shape)
        given = np.full(shape[1:], -1) if given is None else given
        _check_given(given, shape)
        # Compute A(x) once for equal inputs, such as several samples of one image.
        distinct, which = np.unique(low_res, axis=0, return_inverse=True)
        guidance = tf.constant(guidance, tf.float32)
        logits = self._guided_logits(tf.constant(distinct), guidance)
        to_draw = ToDraw(
            tf.gather(logits, which.reshape(-1)),
            self._uniforms(tf.convert_to_tensor(seeds, tf.int32), shape[1:]),
            tf.constant(np.broadcast_to(given, shape), tf.int32),
            tf.constant(tau, tf.float32),
        )
        weights = self._read_weights(self._model.prior)
        if self._read_weights is _read_weights:  # tracing takes longer than reading them once
            self._read_weights = tf.function(_read_weights, autograph=False)
        return weights, to_draw

    def _draw_in_parts(self, weights, to_draw, num_rows):
        """Draws a batch in parts, which TensorFlow runs in parallel: they are independent."""
        batch = to_draw.uniforms.shape[0]
        devices = self._devices[:batch] or (None,)
        parts = len(devices) * _parallel_parts(math.ceil(batch / len(devices)))
        drawn = []
        for number, which in enumerate(likelihood.batches(batch, math.ceil(batch / parts))):
            with tf.device(devices[number * len(devices) // parts]):
                part = to_draw.map(lambda x, which=which: tf.gather(x, which))
                drawn.append(self._draw_part(weights, part, num_rows))
        return tf.concat(drawn, axis=0)[:batch]


def graph_sampler(model, jit_compile=True):
    """Returns the fast sampler as a graph for batches of any size, for use in a SavedModel.

    It draws groups of eight images in parallel, and the rest one by one, so XLA compiles for only
    two sizes. The result is a function of `Sampler`'s `(low_res, seeds, tau, guidance)` as tensors.
    """
    draw_part = tf.function(_draw_images, autograph=False, jit_compile=jit_compile)

    def draw_parts(size, weights, to_draw):
        count, shape = tf.shape(to_draw.uniforms)[0], to_draw.image_shape
        parts = to_draw.map(lambda x: tf.reshape(x, (count // size, size, *x.shape[1:])))
        drawn = tf.map_fn(
            lambda part: draw_part(weights, ToDraw(*part, to_draw.tau), shape[0]),
            parts[:-1],
            parallel_iterations=_MAX_PARTS,
            fn_output_signature=tf.TensorSpec((size, *shape), tf.uint8),
        )
        return tf.reshape(drawn, (count, *shape))

    def sample_images(low_res, seeds, tau, guidance):
        logits = _guided_logits(model, low_res, guidance)
        uniforms = noise.uniforms(seeds, logits.shape[1:4])
        given = tf.fill(tf.shape(uniforms), -1)
        to_draw = ToDraw(logits, tf.ensure_shape(uniforms, logits.shape[:4]), given, tau)
        weights = _read_weights(model.prior)
        whole = tf.shape(uniforms)[0] // _PART * _PART
        parts = [
            draw_parts(_PART, weights, to_draw.map(lambda x: x[:whole])),
            draw_parts(1, weights, to_draw.map(lambda x: x[whole:])),
        ]
        return tf.concat(parts, axis=0)

    return sample_images

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
import threading
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from prsr import images
from prsr.models import layers
from prsr.models.conditioning import INTENSITIES
from prsr.sampling import noise, projection
from prsr.system import host

_LEAST_PART = 8  # images
_MOST_PARTS = 64  # in parallel; TensorFlow has one thread per core


class _Rows(NamedTuple):
    """The gated layers' weights that are used at the start of a row."""

    kernels: tf.Tensor  # [L, reach + 1, 2 reach + 1, F, 2F]
    biases: tf.Tensor  # [L, 2F]
    projections: tf.Tensor  # [L, 2F, 2F], columns by channel
    gate_biases: tf.Tensor  # [L, 2F], by channel: the projection's and the horizontal stack's


class _Channel(NamedTuple):
    """The weights for drawing one channel, which owns features `start` to `stop`."""

    first: tf.Tensor  # [earlier channels, stop - start]
    center_shares: tf.Tensor  # [L, start, 2 (stop - start)], of earlier channels
    centers: tf.Tensor  # [L, stop - start, 2 (stop - start)]
    residual_shares: tf.Tensor  # [L, start, stop - start], of earlier channels
    residuals: tf.Tensor  # [L, stop - start, stop - start]
    residual_biases: tf.Tensor  # [L, 1, stop - start]
    hidden: tf.Tensor  # [stop, hidden features of this channel]
    hidden_bias: tf.Tensor
    logits: tf.Tensor  # [hidden features up to this channel, 256]
    logits_bias: tf.Tensor

    @property
    def stop(self):
        return self.hidden.shape[0]

    @property
    def start(self):
        return self.stop - self.first.shape[1]


class _Weights(NamedTuple):
    """A prior's weights, sliced and reordered for drawing."""

    first_kernel: tf.Tensor  # [4, 7, channels, F]
    first_bias: tf.Tensor  # [F]
    first_left: tf.Tensor  # [3, channels, F]
    first_left_bias: tf.Tensor  # [F]
    rows: _Rows
    left: tf.Tensor  # [L, reach * F, 2F]: the left taps of all layers
    channels: list  # of _Channel


def _spans(features, channels):
    """Returns (start, stop) of each channel's features."""
    groups = layers.channel_groups(features, channels)
    edges = np.searchsorted(groups, np.arange(channels + 1)).tolist()
    return list(zip(edges[:-1], edges[1:]))


def _read_weights(prior):
    """Returns the current `_Weights` of a built `GatedPixelCNN`."""

    def read(variable):
        return tf.cast(tf.convert_to_tensor(variable), prior.compute_dtype)

    width, num_layers = prior.hidden.kernel.shape[2], len(prior.gated_layers)
    spans = _spans(width, prior.channels)
    by_channel = np.concatenate([np.r_[s:e, width + s : width + e] for s, e in spans])
    first = read(prior.horizontal.kernel)[0]  # [3 left and the centre, channels, F]

    def read_all(variables):
        return read(tf.stack([tf.convert_to_tensor(variable) for variable in variables]))

    gated = prior.gated_layers
    projections = [layer.vertical_to_horizontal for layer in gated]
    gate_biases = read_all([p.bias for p in projections])
    gate_biases += read_all([layer.horizontal.bias for layer in gated])
    rows = _Rows(
        kernels=read_all([layer.vertical.kernel for layer in gated]),
        biases=read_all([layer.vertical.bias for layer in gated]),
        projections=tf.gather(read_all([p.kernel for p in projections]), by_channel, axis=-1),
        gate_biases=tf.gather(gate_biases, by_channel, axis=-1),
    )
    gates = read_all([layer.horizontal.kernel for layer in gated])[:, 0]
    gates = tf.gather(gates, by_channel, axis=-1)  # [L, reach + 1, F, 2F]
    left = tf.reshape(gates[:, :-1], (num_layers, -1, 2 * width))

    residuals = read_all([layer.residual.kernel for layer in gated])[:, 0, 0]
    residual_biases = read_all([layer.residual.bias for layer in gated])[:, None]
    hidden, hidden_bias = read(prior.hidden.kernel)[0, 0], read(prior.hidden.bias)
    logits, logits_bias = read(prior.logits.kernel)[0, 0], read(prior.logits.bias)
    hidden_spans = _spans(hidden.shape[1], prior.channels)
    logit_spans = _spans(logits.shape[1], prior.channels)
    channels = []
    for k, (start, stop) in enumerate(spans):
        hidden_start, hidden_stop = hidden_spans[k]
        own_logits = slice(*logit_spans[k])
        channels.append(
            _Channel(
                first=first[-1, :k, start:stop],
                center_shares=gates[:, -1, :start, 2 * start : 2 * stop],
                centers=gates[:, -1, start:stop, 2 * start : 2 * stop],
                residual_shares=residuals[:, :start, start:stop],
                residuals=residuals[:, start:stop, start:stop],
                residual_biases=residual_biases[..., start:stop],
                hidden=hidden[:stop, hidden_start:hidden_stop],
                hidden_bias=hidden_bias[hidden_start:hidden_stop],
                logits=logits[:hidden_stop, own_logits],
                logits_bias=logits_bias[own_logits],
            )
        )
    return _Weights(
        first_kernel=read(prior.vertical.kernel),
        first_bias=read(prior.vertical.bias),
        first_left=first[:-1],
        first_left_bias=read(prior.horizontal.bias),
        rows=rows,
        left=left,
        channels=channels,
    )


def _through_layers(layer, x, shapes, num_layers):
    """Runs the gated layers in a loop: unrolled code takes twice as long to compile.

    Args:
        layer: function from `(i, x)`, the input of layer i, to `(x, kept)`: its output, and a tuple
            of tensors to keep.
        x: input of the first layer.
        shapes: shapes of the tensors to keep.
        num_layers: L.

    Returns:
        The output of the last layer, and a list of the kept tensors, each `[L, ...]`.
    """

    def run_next(i, x, *arrays):
        x, kept = layer(i, x)
        return i + 1, x, *[array.write(i, own) for array, own in zip(arrays, kept)]

    arrays = [tf.TensorArray(x.dtype, num_layers, element_shape=shape) for shape in shapes]
    loop = (tf.constant(0), x, *arrays)
    _, x, *arrays = tf.while_loop(lambda i, *_: i < num_layers, run_next, loop)
    return x, [array.stack() for array in arrays]


def _last_row(window, kernel, bias):
    """Computes a `VerticalConv` for the last row of a window.

    Maps `[batch, kernel height, width, in]` to `[batch, width, features]`.
    """
    reach = kernel.shape[1] // 2
    padding = [[0, 0], [0, 0], [reach, reach], [0, 0]]
    return tf.nn.conv2d(window, kernel, 1, padding)[:, 0] + bias


def _no_rows_yet(weights, batch, width, plan):
    """Returns the cache of the rows above the first row: zeros, like the convolutions' padding.

    Returns:
        The image's last rows, `[batch, 4, width, channels]` in [-0.5, 0.5]; the last rows of each
        layer's vertical input, one fewer than the kernel's height, `[L, batch, reach, width, F]`;
        and `missing` for `prsr.sampling.projection.match_row`.
    """
    height, _, channels, features = weights.first_kernel.shape
    num_layers, reach = weights.left.shape[0], weights.rows.kernels.shape[1] - 1
    dtype = weights.left.dtype
    low = plan.to_come.shape[2] if plan else 0
    return (
        tf.zeros((batch, height, width, channels), dtype),
        tf.zeros((num_layers, batch, reach, width, features), dtype),
        tf.zeros((batch, low, low, channels)),
    )


def _start_row(weights, row, kept):
    """Computes everything that a row takes from the rows above it.

    Args:
        weights: the prior's `_Weights`.
        row: scalar int32, the row that starts.
        kept: the cache, as `_no_rows_yet` returns it.

    Returns:
        The contributions to the horizontal stack, biases included: `[width, batch, F]` for its
        first layer and `[width, L, batch, 2F]` for the gates; and the new feature rows to keep,
        `[L, batch, reach, width, F]`.
    """
    image_rows, feature_rows, _ = kept
    # `shift_down` gives row 0 a row of zeros, not the vertical stack above the image. The gate of
    # zeros is zero, so the layers' inputs there are zeros as well.
    is_inside = tf.cast(row > 0, image_rows.dtype)
    vertical = is_inside * _last_row(image_rows, weights.first_kernel, weights.first_bias)
    first = vertical + weights.first_left_bias
    rows = weights.rows

    def layer(i, vertical):
        window = tf.concat([feature_rows[i], vertical[:, None]], axis=1)
        vertical_gate = is_inside * _last_row(window, rows.kernels[i], rows.biases[i])
        return layers.gate(vertical_gate), (vertical_gate, window[:, 1:])

    shapes = [(*vertical.shape[:-1], 2 * vertical.shape[-1]), feature_rows.shape[1:]]
    _, (gates, feature_rows) = _through_layers(layer, vertical, shapes, weights.left.shape[0])
    gates = tf.einsum("lbwf,lfg->lbwg", gates, rows.projections)
    gates += rows.gate_biases[:, None, None]
    # Columns first, so that each pixel reads contiguous memory.
    return tf.transpose(first, (1, 0, 2)), tf.transpose(gates, (2, 0, 1, 3)), feature_rows


def _draw_pixel(weights, first, gates, conditioning_logits, uniforms, given, tau):
    """Draws a pixel, channel by channel.

    Args:
        weights: the prior's `_Weights`.
        first: `[batch, F]`, the input of the horizontal stack's first layer, except for this
            pixel's earlier channels.
        gates: `[L, batch, 2F]`, the same for each layer's gate.
        conditioning_logits: `[channels, batch, 256]` float32.
        uniforms: `[channels, batch]` float32 in (0, 1).
        given: `[channels, batch]` int32: a value to keep, 0..255, or -1 to draw.
        tau: scalar float32.

    Returns:
        The pixel, `[batch, channels]` int32 in 0..255, and the input of each gated layer,
        `[L, batch, F]`.
    """
    batch, dtype = first.shape[0], first.dtype
    pixel = tf.zeros((batch, 0), tf.int32)
    # These grow by one channel's features at a time.
    num_layers = gates.shape[0]
    entered = gated = tf.zeros((num_layers, batch, 0), dtype)
    left, hidden = tf.zeros((batch, 0), dtype), tf.zeros((batch, 0), dtype)
    for k, own in enumerate(weights.channels):
        # The contributions of earlier channels, all layers in one product.
        own_gates = gates[..., 2 * own.start : 2 * own.stop] + entered @ own.center_shares
        residuals = gated @ own.residual_shares + own.residual_biases

        def layer(i, x, own=own, own_gates=own_gates, residuals=residuals):
            gate = layers.gate(own_gates[i] + x @ own.centers[i])
            return x + gate @ own.residuals[i] + residuals[i], (x, gate)

        x = first[:, own.start : own.stop] + images.to_network(pixel, dtype) @ own.first
        x, kept = _through_layers(layer, x, [x.shape] * 2, num_layers)
        entered, gated = (tf.concat(pair, axis=2) for pair in zip((entered, gated), kept))
        left = tf.concat([left, tf.nn.relu(x)], axis=1)
        own_hidden = tf.nn.relu(left @ own.hidden + own.hidden_bias)
        hidden = tf.concat([hidden, own_hidden], axis=1)
        prior_logits = tf.cast(hidden @ own.logits + own.logits_bias, tf.float32)
        drawn = noise.draw(prior_logits + conditioning_logits[k], tau, uniforms[k])
        value = tf.where(given[k] < 0, drawn, given[k])
        pixel = tf.concat([pixel, value[:, None]], axis=1)
    return pixel, entered


def _draw_row(weights, row, kept, conditioning_logits, uniforms, given, tau, plan):
    """Draws a row, pixel by pixel.

    Args:
        weights: the prior's `_Weights`.
        row: scalar int32.
        kept: the cache of the rows above, as `_no_rows_yet` returns it.
        conditioning_logits: for all rows, `[batch, height, width, channels, 256]` float32.
        uniforms: for all rows, `[batch, height, width, channels]` float32 in (0, 1).
        given: for all rows, `[batch, height, width, channels]` int32: a value to keep, 0..255, or
            -1 to draw.
        tau: scalar float32.
        plan: a `prsr.sampling.projection.RowPlan` to match the row to its input, or None.

    Returns:
        The cache for the next row, and the row, `[batch, width, channels]` uint8.
    """

    def columns_first(x):
        """Maps `[batch, height, width, channels, ...]` to `[width, channels, batch, ...]`."""
        x = tf.gather(x, row, axis=1)  # XLA would recompile x[:, row] for each row
        return tf.transpose(x, (1, 2, 0, *range(3, len(x.shape))))

    image_rows, _, missing = kept
    batch, _, width, channels = image_rows.shape
    first, gates, feature_rows = _start_row(weights, row, kept)
    conditioning_logits, uniforms = columns_first(conditioning_logits), columns_first(uniforms)
    given = columns_first(given)
    num_layers, left_size, _ = weights.left.shape
    reach = weights.first_left.shape[0]

    def draw_next(column, left, left_features, pixels):
        pixel, entered = _draw_pixel(
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
        left_features = tf.concat([left_features[..., entered.shape[-1] :], entered], axis=2)
        return column + 1, left, left_features, pixels.write(column, pixel)

    *_, pixels = tf.while_loop(
        lambda column, *_: column < width,
        draw_next,
        (
            tf.constant(0),
            tf.zeros((batch, reach, channels), first.dtype),
            tf.zeros((num_layers, batch, left_size), first.dtype),
            tf.TensorArray(tf.int32, width, element_shape=(batch, channels)),
        ),
    )
    pixels = tf.transpose(pixels.stack(), (1, 0, 2))
    if plan:
        kept_values = tf.transpose(given, (2, 0, 1)) >= 0
        pixels, missing = projection.match_row(plan, row, missing, pixels, kept_values)
    seen = images.to_network(pixels, image_rows.dtype)[:, None]
    image_rows = tf.concat([image_rows[:, 1:], seen], axis=1)
    return (image_rows, feature_rows, missing), tf.cast(pixels, tf.uint8)


def _draw_image(weights, conditioning_logits, uniforms, given, tau, plan=None, num_rows=None):
    """Draws the first `num_rows` rows, or all of them; other arguments as for `_draw_row`.

    Returns:
        `[batch, height, width, channels]` uint8.
    """
    batch, height, width, channels = uniforms.shape

    def draw_next(row, kept, drawn):
        kept, pixels = _draw_row(
            weights, row, kept, conditioning_logits, uniforms, given, tau, plan
        )
        return row + 1, kept, drawn.write(row, pixels)

    *_, drawn = tf.while_loop(
        lambda row, *_: row < (height if num_rows is None else num_rows),
        draw_next,
        (
            tf.constant(0),
            _no_rows_yet(weights, batch, width, plan),
            tf.TensorArray(tf.uint8, height, element_shape=(batch, width, channels)),
        ),
    )
    return tf.transpose(drawn.stack(), (1, 0, 2, 3))


def _parallel_parts(batch):
    """Returns the number of equal parts to split a batch into: one per core, if it is large enough.

    Most products for a pixel are too small to use several cores. A GPU needs no such split.
    """
    if tf.config.list_logical_devices("GPU"):
        return 1
    most = min(host.cores(), batch // _LEAST_PART)
    return next(parts for parts in range(max(1, most), 0, -1) if batch % parts == 0)


def _prepare(model):
    """Returns a function from `(low_res, seeds, guidance)` to inputs of `_draw_row`.

    These are the weights, (1 + guidance) A(x) and the noise.

    It does not use XLA, which would gain nothing here and take seconds to compile.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def conditioning_logits(low_res, guidance):
        return tf.cast(model.conditioning(low_res), tf.float32) * (1.0 + guidance)

    traced = tf.function(_read_weights, autograph=False)
    uniforms = tf.function(noise.uniforms, autograph=False)
    is_first = True

    def prepare(low_res, seeds, guidance):
        nonlocal is_first
        # Compute A(x) once for equal inputs, such as several samples of one image.
        distinct, which = np.unique(low_res, axis=0, return_inverse=True)
        guidance = tf.constant(guidance, tf.float32)
        logits = tf.gather(conditioning_logits(tf.constant(distinct), guidance), which.reshape(-1))
        # Tracing takes longer than reading the weights once.
        weights = (_read_weights if is_first else traced)(model.prior)
        is_first = False
        return weights, logits, uniforms(seeds, tuple(logits.shape[1:4]))

    return prepare


def _arguments(model, low_res, seeds, tau, given):
    """Converts the public arguments to arrays and tensors.

    Raises:
        ValueError: `given` does not have the shape or range of the images to draw.
    """
    batch, height, width, channels = low_res.shape
    shape = (batch, height * model.scale, width * model.scale, channels)
    given = np.full(shape, -1) if given is None else np.asarray(given)
    if given.shape != shape or given.min() < -1 or given.max() > 255:
        raise ValueError(
            f"given must have shape {list(shape)} and values in -1..255 (-1 to draw); got shape "
            f"{list(given.shape)} and values in {given.min()}..{given.max()}"
        )
    return (
        np.asarray(low_res),
        tf.convert_to_tensor(seeds, tf.int32),
        tf.constant(tau, tf.float32),
        tf.constant(given, tf.int32),
    )


def sampler(model, jit_compile=True, first=None, devices=()):
    """Returns the fast sampler of a model, which is compiled once for each batch size.

    Args:
        model: a built `PixelRecursiveSuperResolution`. Its weights are read at each call.
        jit_compile: whether to compile with XLA, which pays off from the first image on.
        first: `(low_res.shape, match_rows)` of the first call, to start compiling for it now, in a
            thread. None compiles at the first call.
        devices: names of the TensorFlow devices that share each batch; if empty, TensorFlow
            chooses.

    Returns:
        A function `(low_res, seeds, tau, given=None, guidance=0, match_rows=None)` that returns
        `[batch, height, width, channels]` uint8. Its arguments:

        - `low_res`: `[batch, low height, low width, channels]` in 0..255;
        - `seeds`: `[batch, 2]` int32;
        - `tau`: scalar; infinity is greedy;
        - `given`: `[batch, height, width, channels]`, values to keep, 0..255, and -1 where to draw;
        - `guidance`: extra weight of A; the logits are tau (B + (1 + guidance) A);
        - `match_rows`: how the inputs were made, one of `prsr.hparams.DOWNSAMPLING`. Each row is
          then moved towards its input as soon as it is drawn, except for given values
          (`prsr.sampling.projection.match_row`).
    """

    prepare = _prepare(model)
    draw_part = tf.function(_draw_image, autograph=False, jit_compile=jit_compile)

    @tf.function(autograph=False)
    def draw_image(weights, conditioning_logits, uniforms, given, tau, plan, num_rows):
        batch = uniforms.shape[0]
        places = devices[:batch] or (None,)
        parts = len(places) * _parallel_parts(-(-batch // len(places)))
        size = -(-batch // parts)
        to_come = [plan.to_come] if plan else []
        drawn = []
        for number in range(parts):
            # If the batch does not divide evenly, the last parts wrap around to the first images.
            which = np.arange(number * size, (number + 1) * size) % batch
            own = [tf.gather(x, which) for x in (conditioning_logits, uniforms, given, *to_come)]
            own_plan = plan and plan._replace(to_come=own.pop())
            # The parts are independent, so TensorFlow runs them in parallel.
            with tf.device(places[number * len(places) // parts]):
                drawn.append(draw_part(weights, *own, tau, own_plan, num_rows))
        return tf.concat(drawn, axis=0)[:batch]

    def compile_for(shape, match_rows):
        """Compiles by drawing zero rows of blank images."""
        nothing = np.zeros(shape, np.uint8)
        plan = match_rows and projection.row_plan(nothing, model.scale, match_rows)
        _, _, tau, given = _arguments(model, nothing, [], 1.0, None)
        weights, uniforms = _read_weights(model.prior), tf.zeros(given.shape)
        logits = tf.zeros((*given.shape, INTENSITIES))
        with contextlib.suppress(tf.errors.OpError):  # the first call will raise it again
            draw_image(weights, logits, uniforms, given, tau, plan, tf.constant(0))

    compiling = threading.Thread(target=compile_for, args=first or ())
    if first:
        compiling.start()

    def sample_images(low_res, seeds, tau, given=None, guidance=0.0, match_rows=None):
        plan = match_rows and projection.row_plan(low_res, model.scale, match_rows)
        low_res, seeds, tau, given = _arguments(model, low_res, seeds, tau, given)
        prepared = prepare(low_res, seeds, guidance)
        if first:
            compiling.join()
        num_rows = tf.constant(given.shape[1])
        return draw_image(*prepared, given, tau, plan, num_rows).numpy()

    return sample_images


def graph_sampler(model, jit_compile=True):
    """Returns the fast sampler as a graph for batches of any size, for use in a SavedModel.

    It draws groups of eight images in parallel, and the rest one by one, so XLA compiles for only
    two sizes, whatever the batch size.

    Args:
        model, jit_compile: as for `sampler`.

    Returns:
        A function `(low_res, seeds, tau, guidance, plan=None)` to call inside a `tf.function`.
        Arguments and result are those of `sampler`, as tensors whose batch size may be unknown;
        `plan` is a `prsr.sampling.projection.RowPlan` of the inputs.
    """
    draw_part = tf.function(_draw_image, autograph=False, jit_compile=jit_compile)

    def draw_parts(size, weights, own, tau, plan):
        count, shape = tf.shape(own[0])[0], own[1].shape[1:]
        given = -tf.ones((size, *shape), tf.int32)

        def draw(part):
            conditioning_logits, uniforms, *to_come = part
            own_plan = plan and plan._replace(to_come=to_come[0])
            return draw_part(weights, conditioning_logits, uniforms, given, tau, own_plan)

        drawn = tf.map_fn(
            draw,
            [tf.reshape(x, (count // size, size, *x.shape[1:])) for x in own],
            parallel_iterations=_MOST_PARTS,
            fn_output_signature=tf.TensorSpec((size, *shape), tf.uint8),
        )
        return tf.reshape(drawn, (count, *shape))

    def sample_images(low_res, seeds, tau, guidance, plan=None):
        conditioning_logits = tf.cast(model.conditioning(low_res), tf.float32) * (1.0 + guidance)
        uniforms = noise.uniforms(seeds, conditioning_logits.shape[1:4])
        own = [conditioning_logits, uniforms, *([plan.to_come] if plan else [])]
        weights = _read_weights(model.prior)
        whole = tf.shape(uniforms)[0] // _LEAST_PART * _LEAST_PART
        parts = [
            draw_parts(_LEAST_PART, weights, [x[:whole] for x in own], tau, plan),
            draw_parts(1, weights, [x[whole:] for x in own], tau, plan),
        ]
        return tf.concat(parts, axis=0)

    return sample_images


def row_sampler(model, jit_compile=True):
    """Returns the fast sampler as a generator of rows, to show images while they are drawn.

    Args:
        model, jit_compile: as for `sampler`.

    Returns:
        A function that takes `sampler`'s arguments and yields the rows from the top, each
        `[batch, width, channels]` uint8.
    """

    prepare = _prepare(model)
    draw_row = tf.function(_draw_row, autograph=False, jit_compile=jit_compile)

    def sample_rows(low_res, seeds, tau, given=None, guidance=0.0, match_rows=None):
        plan = match_rows and projection.row_plan(low_res, model.scale, match_rows)
        low_res, seeds, tau, given = _arguments(model, low_res, seeds, tau, given)
        weights, conditioning_logits, uniforms = prepare(low_res, seeds, guidance)
        batch, height, width, _ = uniforms.shape
        kept = _no_rows_yet(weights, batch, width, plan)
        for row in tf.range(height):
            kept, drawn = draw_row(
                weights, row, kept, conditioning_logits, uniforms, given, tau, plan
            )
            yield drawn.numpy()

    return sample_rows

"""The reference sampler: slow but simple, with a full pass of the prior for every sub-pixel.

Tests require the fast sampler (`cached`) to draw the same images.
"""

import tensorflow as tf

from prsr.sampling import noise, projection


def sample(prior, conditioning_logits, seeds, tau, count=None, plan=None, given=None):
    """Draws images (equation 6), in the order rows, columns, channels.

    Args:
        prior: function from images so far, `[batch, height, width, channels]` int32 in 0..255, to
            logits `[batch, height, width, channels, 256]`. Only the logits of the next sub-pixel
            are read.
        conditioning_logits: A(x), `[batch, height, width, channels, 256]`.
        seeds: `[batch, 2]` int32; a sample depends only on its own seed, not on its batch.
        tau: scalar that multiplies the logits; infinity is greedy.
        count: number of sub-pixels to draw, leaving the others zero; None for all.
        plan: a `prsr.sampling.projection.RowPlan`, to move each row towards its input once it is
            drawn; or None.
        given: `[batch, height, width, channels]` int32: values to keep, 0..255, and -1 where to
            draw; or None.

    Returns:
        `[batch, height, width, channels]` uint8.
    """
    height, width, channels = conditioning_logits.shape[1:4]
    batch = tf.shape(conditioning_logits)[0]
    uniforms = noise.uniforms(seeds, (height, width, channels))

    def match(i, flat, missing):
        rows, row = tf.reshape(flat, (batch, height, width, channels)), i // (width * channels)
        kept = None if given is None else given[:, row] >= 0
        matched, missing = projection.match_row(plan, row, missing, rows[:, row], kept)
        rows = tf.concat([rows[:, :row], matched[:, None], rows[:, row + 1 :]], axis=1)
        return tf.reshape(rows, tf.shape(flat)), missing

    def draw_next(i, flat, missing):
        shape = flat.shape
        drawn_so_far = tf.reshape(flat, (batch, height, width, channels))
        logits = prior(drawn_so_far) + conditioning_logits
        logits = tf.reshape(logits, (batch, height * width * channels, -1))[:, i]
        uniform = tf.reshape(uniforms, (batch, -1))[:, i]
        drawn = noise.draw(logits, tau, uniform)
        if given is not None:
            own = tf.reshape(given, (batch, -1))[:, i]
            drawn = tf.where(own < 0, drawn, own)
        index = tf.stack([tf.range(batch), tf.fill((batch,), i)], axis=1)
        flat = tf.tensor_scatter_nd_update(flat, index, drawn)
        if plan:
            flat, missing = tf.cond(
                (i + 1) % (width * channels) == 0,
                lambda: match(i, flat, missing),
                lambda: (flat, missing),
            )
            flat = tf.ensure_shape(flat, shape)
        return i + 1, flat, missing

    total = height * width * channels
    count = total if count is None else count
    missing = tf.zeros_like(plan.to_come[:, : plan.to_come.shape[2]]) if plan else 0.0
    _, flat, _ = tf.while_loop(
        lambda i, *_: i < count,
        draw_next,
        (tf.constant(0), tf.zeros((batch, total), tf.int32), missing),
    )
    return tf.cast(tf.reshape(flat, (batch, height, width, channels)), tf.uint8)


def sampler(model, count=None):
    """Returns the compiled reference sampler of a model.

    Args:
        model: a built `PixelRecursiveSuperResolution`.
        count: as for `sample`.

    Returns:
        A function with the arguments and result of `prsr.sampling.cached.sampler`'s.
    """

    @tf.function(reduce_retracing=True)
    def run(low_res, seeds, tau, given, guidance, plan):
        logits = tf.cast(model.conditioning(low_res), tf.float32) * (1.0 + guidance)
        prior = model.prior
        return sample(
            lambda y: tf.cast(prior(y), tf.float32), logits, seeds, tau, count, plan, given
        )

    def sample_images(low_res, seeds, tau, given=None, guidance=0.0, match_rows=None):
        plan = match_rows and projection.row_plan(low_res, model.scale, match_rows)
        seeds = tf.convert_to_tensor(seeds, tf.int32)
        tau, guidance = tf.constant(tau, tf.float32), tf.constant(guidance, tf.float32)
        given = None if given is None else tf.constant(given, tf.int32)
        return run(tf.convert_to_tensor(low_res), seeds, tau, given, guidance, plan).numpy()

    return sample_images

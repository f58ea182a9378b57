"""The train step of the same model in PyTorch, the competitor that ours is timed against.

This is Table 2's only second writing; the first is `prsr.models`. The same arithmetic, term by
term: cropped causal kernels, masks at the centre taps, batch normalisation, equation 8, RMSProp as
TensorFlow 1 had it. `Model` copies the weights of a Keras model, so a test can compare the two.
"""

import keras
import numpy as np
import torch
from torch import nn
from torch.nn import functional


def _tensor(array):
    return torch.tensor(np.asarray(keras.ops.convert_to_numpy(array), np.float32))


class CausalConv(nn.Module):
    """`layers.VerticalConv` and `layers.HorizontalConv`: a convolution after zero padding."""

    def __init__(self, layer, padding, mask=None):
        super().__init__()
        # [height, width, in, out] to [out, in, height, width]
        self.weight = nn.Parameter(_tensor(layer.kernel).permute(3, 2, 0, 1))
        self.bias = nn.Parameter(_tensor(layer.bias))
        self.padding = padding  # left, right, top, bottom
        self.register_buffer("mask", None if mask is None else _tensor(mask).permute(3, 2, 0, 1))

    def forward(self, x):
        weight = self.weight if self.mask is None else self.weight * self.mask
        return functional.conv2d(functional.pad(x, self.padding), weight, self.bias)


def vertical(layer):
    return CausalConv(layer, (layer.reach, layer.reach, layer.reach, 0))


def horizontal(layer):
    return CausalConv(layer, (layer.reach, 0, 0, 0), layer.mask)


def pointwise(layer):
    """A Keras 1x1 convolution or dense layer."""
    kernel = _tensor(layer.kernel).reshape(tuple(layer.kernel.shape[-2:]))
    conv = nn.Conv2d(*kernel.shape, 1)
    conv.weight = nn.Parameter(kernel.T[:, :, None, None].contiguous())
    conv.bias = nn.Parameter(_tensor(layer.bias))
    return conv


def shift_down(x):
    return functional.pad(x, (0, 0, 1, 0))[:, :, :-1]


def gate(x):
    filtered, gated = x.chunk(2, dim=1)
    return torch.tanh(filtered) * torch.sigmoid(gated)


class GatedLayer(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.vertical, self.horizontal = vertical(layer.vertical), horizontal(layer.horizontal)
        self.vertical_to_horizontal = pointwise(layer.vertical_to_horizontal)
        self.residual = horizontal(layer.residual)

    def forward(self, v, h):
        v = self.vertical(v)
        both = self.horizontal(h) + self.vertical_to_horizontal(shift_down(v))
        return gate(v), h + self.residual(gate(both))


def normalization(layer):
    """Normalises by the batch's own statistics, as in training."""
    if isinstance(layer, keras.layers.Identity):
        return nn.Identity()
    return nn.BatchNorm2d(layer.gamma.shape[0], eps=layer.epsilon)


class ResidualBlock(nn.Module):
    def __init__(self, block):
        super().__init__()
        parts = []
        for conv, norm in ((block.first, block.first_norm), (block.second, block.second_norm)):
            copy = nn.Conv2d(conv.kernel.shape[2], conv.kernel.shape[3], 3, padding=1)
            copy.weight = nn.Parameter(_tensor(conv.kernel).permute(3, 2, 0, 1))
            copy.bias = nn.Parameter(_tensor(conv.bias))
            parts += [copy, normalization(norm)]
        self.layers = nn.Sequential(*parts[:2], nn.ReLU(), *parts[2:])

    def forward(self, x):
        return x + self.layers(x)


class Upsampling(nn.Module):
    """Keras' transposed convolution with "same" padding cuts the last row and column."""

    def __init__(self, layer):
        super().__init__()
        self.weight = nn.Parameter(_tensor(layer.kernel).permute(3, 2, 0, 1))
        self.bias = nn.Parameter(_tensor(layer.bias))

    def forward(self, x):
        x = functional.conv_transpose2d(x, self.weight, self.bias, stride=2)
        return torch.relu(x[:, :, :-1, :-1])


class Model(nn.Module):
    """The two networks.

    Args:
        model: a built `PixelRecursiveSuperResolution`, whose weights are copied.
    """

    def __init__(self, model):
        super().__init__()
        a, b = model.conditioning, model.prior
        parts = [pointwise(a.stem)]
        for stage, blocks in enumerate(a.stages):
            if stage > 0:
                parts.append(Upsampling(a.upsamplings[stage - 1]))
            parts += [ResidualBlock(block) for block in blocks]
        self.conditioning = nn.Sequential(*parts, pointwise(a.logits))
        self.vertical, self.horizontal = vertical(b.vertical), horizontal(b.horizontal)
        self.gated_layers = nn.ModuleList(GatedLayer(layer) for layer in b.gated_layers)
        self.hidden, self.logits = horizontal(b.hidden), horizontal(b.logits)

    def forward(self, low_res, high_res):
        """A and B, `[batch, channels * 256, height, width]` each, from images in [-0.5, 0.5]."""
        v, h = self.vertical(high_res), self.horizontal(high_res)
        h = h + shift_down(v)
        for layer in self.gated_layers:
            v, h = layer(v, h)
        prior_logits = self.logits(torch.relu(self.hidden(torch.relu(h))))
        return self.conditioning(low_res), prior_logits


class Trainer:
    """The train step, eager, channels last.

    Args:
        model: a built `PixelRecursiveSuperResolution`, whose weights are copied.
        training: `prsr.hparams.TrainingHparams`.
        bfloat16: whether to compute in bfloat16 (autocast), with float32 weights.
    """

    def __init__(self, model, training, bfloat16=False):
        self.training, self.bfloat16 = training, bfloat16
        self.model = Model(model).to(memory_format=torch.channels_last).train()
        self.mean_squares = [torch.full_like(p, training.rms_start) for p in self.parameters]
        self.moments = [torch.zeros_like(p) for p in self.parameters]

    @property
    def parameters(self):
        return list(self.model.parameters())

    def train_step(self, low_res, high_res):
        """One update from uint8 arrays, channels last.

        Returns:
            Mean nats per image of A + B before the update.
        """
        labels = torch.from_numpy(high_res.astype(np.int64))
        inputs = [
            (torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255 - 0.5).contiguous(
                memory_format=torch.channels_last
            )
            for x in (low_res, high_res)
        ]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            a, b = self.model(*inputs)

        def nats(logits):
            # [batch, channels * 256, h, w] lies in memory as [batch, h, w, channels, 256].
            logits = logits.float().permute(0, 2, 3, 1).reshape(-1, 256)
            return functional.cross_entropy(logits, labels.reshape(-1), reduction="sum")

        joint, conditioning = nats(a + b), nats(a)
        with torch.no_grad():
            nats(b)  # only reported, as in ours
        loss = (joint + conditioning) / len(high_res)
        gradients = torch.autograd.grad(loss, self.parameters)
        self._update(gradients)
        return joint.item() / len(high_res)

    @torch.no_grad()
    def _update(self, gradients):
        rmsprop = self.training
        torch._foreach_mul_(self.mean_squares, rmsprop.rho)
        torch._foreach_addcmul_(self.mean_squares, gradients, gradients, 1 - rmsprop.rho)
        scale = torch._foreach_sqrt(torch._foreach_add(self.mean_squares, rmsprop.epsilon))
        torch._foreach_mul_(self.moments, rmsprop.momentum)
        torch._foreach_addcdiv_(self.moments, gradients, scale, rmsprop.learning_rate)
        torch._foreach_sub_(self.parameters, self.moments)

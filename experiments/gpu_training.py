"""Trains Table 2's model in PyTorch, for a GPU that TensorFlow cannot use.

    python experiments/gpu_training.py --initial=RUN --output=NEW_RUN --seconds=3600

It continues from the weights of a run of `prsr.train`, on the same images, and leaves weights that
every command of prsr reads. The step is that of `prsr.train`: equation 8, Table 2's RMSProp,
mirrored images, a moving average of the weights, bfloat16. What makes it fast: all images are on
the GPU, all weights are one vector, and the whole step is one CUDA graph. The learning rate rises
for 500 steps, and falls linearly to zero at the end. A NEW_RUN can be the RUN of the next one.

NEW_RUN gets what `prsr.train` writes, but no checkpoints; model.weights.h5 is the moving average
that was best on validation. Needs `torch`. The bundled face model was trained so (see its card).
"""

import argparse
import time

import keras
import numpy as np
import torch
from torch.nn import functional

from benchmarks.torch_step import gate, shift_down
from prsr import plotting
from prsr.data import image_sets, pipeline
from prsr.hparams import TrainingHparams
from prsr.workdir.directory import Workdir

TABLE_2 = TrainingHparams()
WARM_UP = 500  # steps, while RMSProp's mean squares settle
NAMES = "joint", "conditioning", "prior"


# The network -------------------------------------------------------------------------------


class Network:
    """A and B as functions of one vector of weights.

    Args:
        model: built `PixelRecursiveSuperResolution` with batch normalisation.
        device: PyTorch device.
        dtype: of activations and products.
    """

    def __init__(self, model, device, dtype):
        self.model, self.device, self.dtype = model, device, dtype
        self.stages = len(model.conditioning.stages)
        self.blocks = len(model.conditioning.stages[0])
        self.layers = len(model.prior.gated_layers)
        self.reach = model.prior.vertical.reach, model.prior.gated_layers[0].vertical.reach
        self.variables, masks = zip(*_in_order(model))
        self.norms = [variable.name in ("gamma", "beta") for variable in self.variables]
        self.sizes = [int(np.prod(variable.shape)) for variable in self.variables]
        self.mask = torch.from_numpy(np.concatenate(masks)).to(device)

    def vector(self):
        """Returns the Keras model's weights."""
        parts = [_flat(np.asarray(variable)) for variable in self.variables]
        return torch.from_numpy(np.concatenate(parts).astype(np.float32)).to(self.device)

    def assign(self, vector):
        """Writes a vector into the Keras model."""
        parts = np.split(vector.cpu().numpy(), np.cumsum(self.sizes)[:-1])
        for variable, part in zip(self.variables, parts):
            *rest, last = variable.shape
            variable.assign(np.moveaxis(part.reshape(last, *rest), 0, -1))

    def views(self, rounded, full):
        """Views of the weights as `logits` takes them: norms from `full`, others from `rounded`."""
        parts = zip(self.variables, self.norms, rounded.split(self.sizes), full.split(self.sizes))
        return [_kernel(exact if norm else flat, v.shape) for v, norm, flat, exact in parts]

    def gradient(self, gradients):
        """Joins the gradients of `views` to a vector."""
        parts = [x.permute(0, 2, 3, 1).reshape(-1) if x.ndim == 4 else x for x in gradients]
        return torch.cat([part.float() for part in parts]) * self.mask

    def inputs(self, high_res):
        """Converts `[batch, 3, height, width]` uint8 to A's and B's inputs, and labels."""
        x = high_res.to(self.dtype) / 255 - 0.5
        labels = high_res.permute(0, 2, 3, 1).reshape(-1).long()
        return x.contiguous(memory_format=torch.channels_last), labels

    def logits(self, views, low_res, high_res, statistics=None):
        """A and B, `[batch, channels * 256, height, width]`.

        `statistics`: means and variances in order, or None for the batch's.
        """
        views = iter(views)
        statistics = iter(statistics) if statistics is not None else None

        def conv(x, left=0, top=0, right=0, bottom=0):
            kernel, bias = next(views), next(views)
            return functional.conv2d(functional.pad(x, (left, right, top, bottom)), kernel, bias)

        def norm(x):
            gamma, beta = next(views), next(views)
            mean, variance = (next(statistics), next(statistics)) if statistics else (None, None)
            return functional.batch_norm(
                x, mean, variance, gamma, beta, statistics is None, eps=1e-3
            )

        a = conv(low_res)
        for stage in range(self.stages):
            if stage > 0:
                kernel, bias = next(views), next(views)
                a = functional.conv_transpose2d(a, kernel, bias, stride=2)
                a = torch.relu(a[:, :, :-1, :-1])
            for _ in range(self.blocks):
                inner = torch.relu(norm(conv(a, 1, 1, 1, 1)))
                a = a + norm(conv(inner, 1, 1, 1, 1))
        a = conv(a)

        first, reach = self.reach
        v = conv(high_res, first, first, first)
        h = conv(high_res, first) + shift_down(v)
        for _ in range(self.layers):
            v = conv(v, reach, reach, reach)
            from_above = conv(shift_down(v))
            h = h + conv(gate(conv(h, reach) + from_above))
            v = gate(v)
        return a, conv(torch.relu(conv(torch.relu(h))))


def _in_order(model):
    """Yields each weight as `Network.logits` takes them, with its mask as a vector."""

    a, b = model.conditioning, model.prior
    chain = [a.stem]
    for stage, blocks in enumerate(a.stages):
        chain += [a.upsamplings[stage - 1]] if stage > 0 else []
        for block in blocks:
            chain += [block.first, block.first_norm, block.second, block.second_norm]
    chain += [a.logits, b.vertical, b.horizontal]
    for gated in b.gated_layers:
        chain += [gated.vertical, gated.vertical_to_horizontal, gated.horizontal, gated.residual]
    for layer in [*chain, b.hidden, b.logits]:
        if isinstance(layer, keras.layers.BatchNormalization):
            variables = layer.gamma, layer.beta
        else:
            variables = layer.kernel, layer.bias
        for variable in variables:
            mask = getattr(layer, "mask", 1) if variable.name == "kernel" else 1
            yield variable, _flat(np.broadcast_to(np.float32(mask), variable.shape))


def _flat(kernel):
    """The last axis comes first, which is PyTorch's "channels last"."""
    return np.moveaxis(kernel, -1, 0).ravel()


def _kernel(flat, shape):
    if len(shape) == 1:
        return flat
    height, width = tuple(shape[:-2]) or (1, 1)  # a dense layer is a 1x1 convolution
    return flat.view(shape[-1], height, width, shape[-2]).permute(0, 3, 1, 2)


def nats(logits, labels):
    """Cross-entropy, averaged over sub-pixels."""
    return functional.cross_entropy(logits.permute(0, 2, 3, 1).reshape(-1, 256).float(), labels)


# The step ----------------------------------------------------------------------------------


class Step:
    """One step of training, as a CUDA graph if there is a GPU.

    Args:
        network: `Network`.
        batch: images per step.
        decay: of the moving average.

    Attributes:
        state: dict of vectors: `weights`, `average`, `mean_square`, `velocity`.
        sums: bits per dimension of A + B and of A, summed over the steps so far.
    """

    def __init__(self, network, batch, decay):
        self.network, self.decay, device = network, decay, network.device
        weights = network.vector()
        self.state = {
            "weights": weights,
            "average": weights.clone(),
            "mean_square": torch.full_like(weights, TABLE_2.rms_start),
            "velocity": torch.zeros_like(weights),
        }
        self.rounded = weights.to(network.dtype)
        self._refresh()
        views = network.views(self.rounded, weights)
        self.leaves = [view.detach().requires_grad_() for view in views]
        self.low = torch.zeros(batch, 3, 8, 8, dtype=torch.uint8, device=device)
        self.high = torch.zeros(batch, 3, 32, 32, dtype=torch.uint8, device=device)
        self.mirrored = torch.zeros(batch, 1, 1, 1, dtype=torch.bool, device=device)
        self.rate, self.sums = torch.zeros((), device=device), torch.zeros(2, device=device)
        self.graph = self._captured() if device == "cuda" else None

    def __call__(self, low, high, mirrored):
        """Takes `[batch, 3, 8, 8]` and `[batch, 3, 32, 32]` uint8, and which to mirror."""
        self.low.copy_(low)
        self.high.copy_(high)
        self.mirrored.copy_(mirrored)
        self.graph.replay() if self.graph else self._run()

    def _captured(self):
        saved = {name: vector.clone() for name, vector in self.state.items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._run()
        for name, vector in self.state.items():
            vector.copy_(saved[name])
        self._refresh()
        self.sums.zero_()
        return graph

    def _refresh(self):
        self.rounded.copy_(self.state["weights"] * self.network.mask)

    def _run(self):
        network, state = self.network, self.state
        low, high = (torch.where(self.mirrored, x.flip(3), x) for x in (self.low, self.high))
        (low, _), (high, labels) = network.inputs(low), network.inputs(high)
        a, b = (x.float() for x in network.logits(self.leaves, low, high))
        joint, alone = nats(a + b, labels), nats(a, labels)
        objective = (joint + alone) * labels.numel() / len(high)  # equation 8, nats per image
        gradient = network.gradient(torch.autograd.grad(objective, self.leaves))
        with torch.no_grad():
            rho, mean_square = TABLE_2.rho, state["mean_square"]
            mean_square.mul_(rho).addcmul_(gradient, gradient, value=1 - rho)
            scaled = gradient * torch.rsqrt(mean_square + TABLE_2.epsilon)
            state["velocity"].mul_(TABLE_2.momentum).add_(self.rate * scaled)
            state["weights"].sub_(state["velocity"])
            state["average"].lerp_(state["weights"], 1 - self.decay)
            self.sums += torch.stack([joint, alone]).detach() / np.log(2)
            self._refresh()


# The training ------------------------------------------------------------------------------


def main():
    args = _arguments()
    cuda = torch.cuda.is_available()
    torch.backends.cudnn.benchmark = True
    hparams, model = Workdir(args.initial).load_model()
    run = Workdir(args.output)
    run.path.mkdir(parents=True, exist_ok=True)
    run.write_hparams(hparams)
    network = Network(model, "cuda" if cuda else "cpu", torch.bfloat16 if cuda else torch.float32)
    low, high = pairs(hparams, "train", network.device)
    validation = pairs(hparams, "validation", network.device, args.validation)
    step = Step(network, args.batch_size, args.ema)
    print(
        f"{len(step.state['weights']):,} weights, {len(low):,} training images, on {network.device}"
    )

    begin = time.time()
    steps, since, best, report, order = 0, 0, np.inf, begin + args.report, low[:0]
    while True:
        progress = min(1.0, (time.time() - begin) / args.seconds)
        if progress == 1 or time.time() >= report:
            batch, step.sums = (step.sums / max(since, 1)).tolist(), step.sums.zero_()
            found = evaluate(step, low, validation)
            shown = "  ".join(f"{x:.4f}" for x in (*batch, *found))
            print(f"{steps:,} steps, {steps * args.batch_size:,} images: {shown}", flush=True)
            scores = {f"validation/bits_per_dim/{name}": x for name, x in zip(NAMES, found)}
            if since:
                scores |= {f"train/bits_per_dim/{name}": x for name, x in zip(NAMES, batch)}
            run.append_metrics({"step": steps, **scores})
            plotting.curves(run.read_metrics(), run.curves)
            if found[0] < best:
                best = found[0]
                run.save_weights(model)
            if progress == 1:
                return
            since, report = 0, time.time() + args.report
        slope = min(1.0, (1 - progress) / args.fall) * min(1.0, (steps + 1) / WARM_UP)
        step.rate.fill_(args.rate * slope)
        for _ in range(args.inner):
            if len(order) < args.batch_size:
                order = torch.randperm(len(low), device=network.device)
            chosen, order = order[: args.batch_size], order[args.batch_size :]
            mirrored = torch.rand(args.batch_size, 1, 1, 1, device=network.device) < 0.5
            step(low[chosen], high[chosen], mirrored)
            steps, since = steps + 1, since + 1
        if cuda:
            torch.cuda.synchronize()


def pairs(hparams, split, device, count=None):
    """Low- and high-resolution images of a split, `[count, 3, height, width]` uint8."""
    found = image_sets.load(hparams.data, hparams.model.channels, split, count)
    found = pipeline.evaluation_arrays(found, hparams.data, hparams.model.scale)
    return [torch.from_numpy(np.moveaxis(x, -1, 1).copy()).to(device) for x in found[:2]]


@torch.no_grad()
def evaluate(step, training, validation, size=64):
    """Scores the average weights: bits per dimension of A + B, A and B.

    Leaves the weights, and batch normalisation's statistics for them, in the Keras model.
    """
    network, average = step.network, step.state["average"]
    network.assign(average)
    images = np.moveaxis(training[:2048].cpu().numpy(), 1, -1)
    network.model.recalibrate_batch_norm([images[i : i + 16] for i in range(0, len(images), 16)])
    statistics = [
        torch.from_numpy(np.copy(x)).to(network.device)
        for blocks in network.model.conditioning.stages
        for block in blocks
        for norm in (block.first_norm, block.second_norm)
        for x in (norm.moving_mean, norm.moving_variance)
    ]
    views = network.views((average * network.mask).to(network.dtype), average)
    total = torch.zeros(3, device=network.device)
    for start in range(0, len(validation[0]), size):
        low, high = (x[start : start + size] for x in validation)
        (low, _), (high, labels) = network.inputs(low), network.inputs(high)
        a, b = (x.float() for x in network.logits(views, low, high, statistics))
        total += len(low) * torch.stack([nats(a + b, labels), nats(a, labels), nats(b, labels)])
    return (total / len(validation[0]) / np.log(2)).tolist()


def _arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--initial", required=True, help="run directory to begin from")
    parser.add_argument("--output", required=True, help="run directory to write")
    parser.add_argument("--seconds", type=float, required=True, help="time to train for")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--rate", type=float, default=TABLE_2.learning_rate, help="learning rate")
    parser.add_argument(
        "--fall", type=float, default=0.3, help="share of the time in which the rate falls to zero"
    )
    parser.add_argument("--ema", type=float, default=0.9995, help="moving average of the weights")
    parser.add_argument("--report", type=float, default=15, help="seconds between validations")
    parser.add_argument("--validation", type=int, default=1024, help="validation images")
    parser.add_argument("--inner", type=int, default=25, help="steps between looks at the clock")
    return parser.parse_args()


if __name__ == "__main__":
    main()

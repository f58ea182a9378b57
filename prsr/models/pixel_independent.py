"""The pixel-independent baseline of section 3.1: the conditioning network, trained on its own."""

from prsr.models import layers, losses
from prsr.models.conditioning import ConditioningNetwork
from prsr.models.scored import ScoredModel


@layers.registered
class PixelIndependent(ScoredModel, ConditioningNetwork):
    """p(y | x) = prod_i softmax(A_i(x)): each pixel independent of the others (equation 2).

    The arguments are those of `ResNetTrunk`.
    """

    has_likelihood = True
    metric_names = ("bits_per_dim/conditioning", "nats_per_image")

    def output_scores(self, outputs, high_res):
        return {"conditioning": losses.nats_per_image(outputs, high_res)}

    def log_likelihood(self, low_res, high_res):
        """Returns log p(y | x), `[batch]`, in nats per image; arguments as for `scores`."""
        return -self.scores(low_res, high_res)["conditioning"]

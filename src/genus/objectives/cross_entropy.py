"""Cross-entropy: how surprised a classifier is at the labels."""

import torch
from torch import Tensor
from torch.nn import functional as F

from genus.engine import Batch, Info

__all__ = ["CrossEntropy"]


class CrossEntropy:
    """−log p(label | x) in nats a datum, for a module whose answer is the log odds of labels.

    The labels are the batch's condition. ``error_rate`` is the share of wrong answers, with
    whatever noise the module learns under. Both are in float32 at least.
    """

    def __call__(self, model: object, batch: Batch) -> Info:
        """The loss of a batch.

        Raises:
            ValueError: where the batch has no labels.
        """
        if batch.condition is None:
            raise ValueError("the batch has no labels; train on data with a condition")
        logits: Tensor = model(batch.x)  # type: ignore[operator]
        if logits.dtype != torch.float64:
            logits = logits.float()
        wrong = (logits.detach().argmax(1) != batch.condition).to(logits.dtype).mean()
        return {"loss": F.cross_entropy(logits, batch.condition), "error_rate": wrong}

"""Logistic regression on features: what a plain classifier tells apart."""

import warnings

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["predicted_classes"]


def predicted_classes(
    rows: Float[Tensor, "row feature"],
    labels: Int[Tensor, " row"],
    queries: Float[Tensor, "query feature"],
    *,
    strength: float = 0.1,
    iterations: int = 200,
) -> Int[Tensor, " query"]:
    """The classes of queries by logistic regression on standardised features.

    Deterministic. Where all labels are the same the answer is that label.

    Args:
        rows: what the classifier learns from.
        labels: their classes.
        queries: what it is asked.
        strength: C, the inverse of the L2 penalty.
        iterations: at most, of L-BFGS.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if bool((labels == labels[0]).all()):
        return labels[0].expand(len(queries))
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(C=strength, max_iter=iterations)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier.fit(rows.double().numpy(), labels.numpy())
    return torch.from_numpy(classifier.predict(queries.double().numpy()))

"""Who learns now: of an algorithm in stages, the one whose turn it is."""

from genus.engine import Algorithm, Descend, Stages

__all__ = ["learner"]


def learner(algorithm: Algorithm) -> Descend | None:
    """The ``Descend`` that takes the steps of now; None where it is another kind.

    Args:
        algorithm: that has started.
    """
    while isinstance(algorithm, Stages):
        algorithm = algorithm.stages[algorithm.number].algorithm
    return algorithm if isinstance(algorithm, Descend) else None

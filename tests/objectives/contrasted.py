"""What the contrast of an objective makes of rows that are given."""

from genus.engine import with_gradient
from genus.objectives.contrastive import Phases


def contrasted(objective, model, both, num_data):
    """The gap of these rows, of which the first are data, with its gradient."""
    phases = Phases(both, num_data, model.activation(both))
    gap, slopes = objective.contrast(model, phases, model.weights.dtype)
    return with_gradient(gap, *slopes)

"""Colours for the units of a graph: those of one colour can be drawn at once."""

from collections.abc import Iterable

__all__ = ["colour_classes"]


def colour_classes(num_units: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Groups of units no two of which are joined, found greedily, the largest group first.

    Units are taken by falling number of neighbours, each into the first group that holds none
    of them; the number of groups exceeds the largest number of neighbours by one at most
    (Welsh & Powell 1967). Given the units of all other groups, those of one group are
    independent, so that a Gibbs sweep takes one step for each group (Gonzalez et al. 2011).

    Args:
        num_units: units are numbered from 0.
        pairs: the two ends of every edge; an edge given twice counts once.

    Returns:
        The groups, each in rising order; together they hold every unit once.

    Raises:
        ValueError: where an end is no unit, or a unit is joined to itself.
    """
    if num_units < 1:
        raise ValueError(f"num_units must be at least 1, got {num_units}")
    neighbours: list[set[int]] = [set() for _ in range(num_units)]
    for first, second in pairs:
        if first == second or not (0 <= first < num_units and 0 <= second < num_units):
            raise ValueError(
                f"pairs must join two different units of 0 to {num_units - 1}, "
                f"got ({first}, {second})"
            )
        neighbours[first].add(second)
        neighbours[second].add(first)
    colour: dict[int, int] = {}
    for unit in sorted(range(num_units), key=lambda unit: (-len(neighbours[unit]), unit)):
        taken = {colour[other] for other in neighbours[unit] if other in colour}
        colour[unit] = next(c for c in range(num_units) if c not in taken)
    groups: list[list[int]] = [[] for _ in range(1 + max(colour.values()))]
    for unit in range(num_units):
        groups[colour[unit]].append(unit)
    return sorted(groups, key=len, reverse=True)

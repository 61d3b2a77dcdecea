"""Every model's small, lop-sided instances, by family."""

from genus.spaces import Real
from genus.testing import Case, lopsided


def ppca():
    from genus.models import PPCA

    plane = Real((2,))
    box = Real((3, 2))
    return [
        Case("ppca", lambda: PPCA(plane, 1), lopsided(plane), scale=2.5),
        Case(
            "ppca by em",
            lambda: PPCA(box, 3, method="em"),
            lopsided(box),
            skip={
                "sums_to_one": "six dimensions; the case ppca integrates",
                "samples_follow_log_prob": "six dimensions; the case ppca counts",
            },
        ),
    ]


FAMILIES = (ppca,)
CASES = [case for family in FAMILIES for case in family()]

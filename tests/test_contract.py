"""Every model keeps the contract: each case against each check that applies to it."""

import pytest
from cases import CASES

from genus.testing import Skipped, checks_for

PAIRS = [(case, check) for case in CASES for check in checks_for(case.fresh())]


@pytest.mark.parametrize(
    ("case", "check"), PAIRS, ids=[f"{case.name}-{check.__name__}" for case, check in PAIRS]
)
def test_contract(case, check):
    if check.__name__ in case.skip:
        pytest.skip(case.skip[check.__name__])
    try:
        check(case)
    except Skipped as reason:
        pytest.skip(str(reason))

"""Runs the contract over a case, or over a class that somebody else wrote."""

import inspect
import time
from collections.abc import Callable
from typing import Any

from genus.model import Model
from genus.spaces import Binary, Categorical, Pixels, Real, Sequence, Space
from genus.testing.case import Case, Result, Skipped
from genus.testing.checks import Check, checks_for
from genus.testing.examples import lopsided

__all__ = ["check_class", "find_cases", "run"]

TINY: dict[str, Space] = {
    "Binary": Binary((5,)),
    "Categorical": Categorical((3,), 3),
    "Pixels": Pixels((1, 3, 2), 3),
    "Real": Real((3,)),
    "Sequence": Sequence(Categorical((), 3), 4),
}


def run(case: Case) -> list[Result]:
    """Every check that applies to the case's model, in order; none stops the others."""
    try:
        model = case.fresh()
    except Exception as error:
        return [Result(case.name, "make", "fail", _reason(error))]
    return [run_one(case, check) for check in checks_for(model)]


def run_one(case: Case, check: Check) -> Result:
    """One check of one case."""
    start = time.perf_counter()
    name = check.__name__
    if name in case.skip:
        return Result(case.name, name, "skip", case.skip[name])
    try:
        check(case)
    except Skipped as reason:
        return Result(case.name, name, "skip", str(reason))
    except AssertionError as error:
        return Result(case.name, name, "fail", str(error) or "assertion failed", _since(start))
    except Exception as error:
        return Result(case.name, name, "fail", _reason(error), _since(start))
    return Result(case.name, name, "pass", "", _since(start))


def check_class(cls: type[Model]) -> list[Result]:
    """The contract over a class of anybody's, as ``genus check MODULE:CLASS`` runs it.

    The cases come from :func:`find_cases`.

    Raises:
        ValueError: where ``cls`` is no model, or its constructor asks for what cannot be guessed.
    """
    return [result for case in find_cases(cls) for result in run(case)]


def find_cases(cls: type[Model]) -> list[Case]:
    """The cases that a class offers, or one made from its constructor.

    A class may have a static or class method ``cases()`` that returns a list of
    :class:`Case`. Without it, each constructor argument that has no default is filled in: a
    space by its annotation (``Binary``: 5 bits; ``Categorical``: 3 of 3 categories;
    ``Pixels``: 1×3×2 of 3 levels; ``Real``: 3 numbers; ``Space``: as ``Binary``), an ``int``
    by 2, a ``float`` by 0.5, a ``bool`` by False, a tuple of ints by ``(4,)``. Where that
    raises ValueError, default sizes above 2 become 2 as well.

    Raises:
        ValueError: where that is not possible; says what to do.
    """
    if not (isinstance(cls, type) and issubclass(cls, Model)):
        raise ValueError(f"expected a subclass of genus.Model, got {cls!r}")
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise ValueError(f"{cls.__name__} is abstract: it lacks {missing}")
    own: Callable[[], Any] | None = getattr(cls, "cases", None)
    if own is not None:
        cases = list(own())
        if not cases or not all(isinstance(case, Case) for case in cases):
            raise ValueError(f"{cls.__name__}.cases() must return genus.testing.Case objects")
        return cases
    model, arguments = _tiny(cls)
    data = lopsided(model.space)
    condition = None if model.condition is None else lopsided(model.condition, len(data), 1)
    return [Case(cls.__name__, lambda: cls(**arguments), data, condition, completion=False)]


def _tiny(cls: type[Model]) -> tuple[Model, dict[str, Any]]:
    """A small model and its arguments; default sizes too large for a tiny space become 2."""
    arguments = _tiny_arguments(cls)
    defaults = inspect.signature(cls.__init__).parameters.values()
    sizes = {p.name: 2 for p in defaults if type(p.default) is int and p.default > 2}
    reasons = []
    for extra in ({}, sizes):
        try:
            return cls(**{**extra, **arguments}), {**extra, **arguments}
        except (ValueError, TypeError) as error:
            reasons.append(str(error))
    raise ValueError(
        f"cannot build a tiny {cls.__name__} from {arguments}: {reasons[0]}; give it a static "
        "method cases() that returns a list of genus.testing.Case"
    )


def _tiny_arguments(cls: type[Model]) -> dict[str, Any]:
    signature = inspect.signature(cls.__init__)
    arguments: dict[str, Any] = {}
    for name, parameter in list(signature.parameters.items())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is parameter.empty:
            arguments[name] = _guess(cls, name, parameter.annotation)
    return arguments


def _guess(cls: type[Model], name: str, annotation: Any) -> Any:
    """A small value for a constructor argument, from its annotation."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    text = text if text and "tuple" not in text else str(annotation)
    for part in text.replace("spaces.", "").replace("genus.", "").split("|"):
        kind = part.strip().strip("'\"")
        if kind in TINY:
            return TINY[kind]
        plain = {"int": 2, "float": 0.5, "bool": False, "Space": TINY["Binary"]}
        plain["Numeric"] = TINY["Binary"]
        if kind in plain:
            return plain[kind]
        if kind.startswith("tuple"):
            return (4,)
    raise ValueError(
        f"cannot guess argument {name!r} of {cls.__name__} from its annotation {annotation!r}; "
        f"give it a default, or give {cls.__name__} a static method cases() that returns a "
        "list of genus.testing.Case"
    )


def _reason(error: Exception) -> str:
    return f"raised {type(error).__name__}: {error}"


def _since(start: float) -> float:
    return time.perf_counter() - start

"""Settings as the command line gives them: checked against the recipe's own parameters."""

import difflib
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from genus.recipes.recipe import Entry

__all__ = [
    "check_settings",
    "nearest",
    "parse_loading",
    "parse_settings",
    "settings_of",
    "type_name",
]

_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def settings_of(entry: Entry) -> dict[str, inspect.Parameter]:
    """The settings of a recipe: the keyword parameters of its function, with resolved types."""
    hints = typing.get_type_hints(entry.function)
    parameters = inspect.signature(entry.function).parameters.values()
    return {
        p.name: p.replace(annotation=hints[p.name])
        for p in parameters
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    }


def parse_settings(entry: Entry, pairs: Sequence[str]) -> dict[str, Any]:
    """Settings from ``key=value`` texts, converted to the types of the recipe's parameters.

    Args:
        entry: whose settings they are.
        pairs: such as ``["hidden=500,500", "learning_rate=3e-4"]``.

    Raises:
        ValueError: where a key is unknown or a value of the wrong type.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            raise ValueError(f"a setting looks like key=value, got {pair!r}")
        _check_key(entry, key)
        if key in settings:
            raise ValueError(f"the setting {key!r} is given twice")
        annotation = settings_of(entry)[key].annotation
        try:
            settings[key] = _convert(text.strip(), annotation)
        except ValueError as error:
            wanted = type_name(annotation)
            hint = f" ({error})" if str(error).startswith("did you mean") else ""
            raise ValueError(
                f"{key} of {entry.name} must be {wanted}, got {text.strip()!r}{hint}"
            ) from error
    return settings


def parse_loading(pairs: Sequence[str]) -> dict[str, Any]:
    """Options for a loader from ``key=value`` texts: numbers, lists of them, words.

    Raises:
        ValueError: where a text is no ``key=value``.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"an option looks like key=value, got {pair!r}")
        options[key.strip().replace("-", "_")] = _guess(text.strip())
    return options


def check_settings(entry: Entry, settings: Mapping[str, Any]) -> None:
    """Checks settings given as Python values.

    Raises:
        ValueError: where a key is unknown or a value of the wrong type.
    """
    for key, value in settings.items():
        _check_key(entry, key)
        annotation = settings_of(entry)[key].annotation
        if not _accepts(value, annotation):
            raise ValueError(
                f"{key} of {entry.name} must be {type_name(annotation)}, got {value!r}"
            )


def nearest(name: str, names: Sequence[str]) -> str:
    """A hint such as ``"; did you mean 'vae'?"``, or nothing where no name is near."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def type_name(annotation: Any) -> str:
    """An annotation in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(str(a) for a in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join("none" if a is types.NoneType else type_name(a) for a in arguments)
    if origin is tuple:
        return f"a list such as {_example(arguments[0], arguments)}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return words.get(annotation, str(annotation))


def _check_key(entry: Entry, key: str) -> None:
    names = list(settings_of(entry))
    if key not in names:
        raise ValueError(
            f"{entry.name} has no setting {key!r}{nearest(key, names)} "
            f"(settings: {', '.join(names)})"
        )


def _convert(text: str, annotation: Any) -> Any:
    """The value that ``text`` means; ValueError where it means none."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return _choose(text, arguments)
    if origin in (Union, types.UnionType):
        return _convert_any(text, arguments)
    if origin is tuple:
        return _convert_tuple(text, arguments)
    if annotation is bool:
        if text.lower() not in _WORDS:
            raise ValueError("no truth value")
        return _WORDS[text.lower()]
    return annotation(text)


def _guess(text: str) -> Any:
    """A whole number, a number, a truth value, a list of whole numbers, or the text itself."""
    for kind in (int, float, bool, tuple[int, ...]):
        try:
            return _convert(text, kind)
        except ValueError:
            continue
    return None if text.lower() == "none" else text


def _choose(text: str, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if str(choice) == text:
            return choice
    raise ValueError(nearest(text, [str(c) for c in choices])[2:])


def _convert_any(text: str, kinds: tuple[Any, ...]) -> Any:
    if types.NoneType in kinds and text.lower() == "none":
        return None
    for kind in (k for k in kinds if k is not types.NoneType):
        try:
            return _convert(text, kind)
        except ValueError:
            continue
    raise ValueError("no kind fits")


def _convert_tuple(text: str, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.strip("()[] ").split(",") if part.strip()]
    if kinds[-1] is not Ellipsis and len(parts) != len(kinds):
        raise ValueError(f"{len(kinds)} values are needed")
    wanted = kinds if kinds[-1] is not Ellipsis else (kinds[0],) * len(parts)
    return tuple(_convert(part, kind) for part, kind in zip(parts, wanted, strict=True))


def _accepts(value: Any, annotation: Any) -> bool:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return value in arguments
    if origin in (Union, types.UnionType):
        return any(_accepts(value, kind) for kind in arguments)
    if origin is tuple:
        if not isinstance(value, tuple | list):
            return False
        kinds = arguments if arguments[-1] is not Ellipsis else (arguments[0],) * len(value)
        return len(kinds) == len(value) and all(map(_accepts, value, kinds))
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, annotation)


def _example(kind: Any, kinds: tuple[Any, ...]) -> str:
    unit = {int: "500", float: "0.5"}.get(kind, "a")
    return ",".join([unit] * (2 if kinds[-1] is Ellipsis else len(kinds)))

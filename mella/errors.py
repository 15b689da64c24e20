"""The exceptions that mella raises: each is a `MellaError` and the built-in that fits."""

import difflib
import operator
from collections.abc import Collection, Iterable


class MellaError(Exception):
    """Base of every error that mella raises on purpose."""


class UnknownNameError(MellaError, ValueError):
    """A name that is not among the allowed ones."""


class OptionError(MellaError, ValueError):
    """An option that is out of its range, or that goes with another one."""


class FormatError(MellaError, ValueError):
    """Data that does not follow the mella format: a broken tar, index or manifest."""


class WhereError(MellaError, ValueError):
    """A metadata filter that cannot be understood or does not fit the columns."""


class RepositoryError(MellaError, FileNotFoundError):
    """A repository, or a file that it promises, that cannot be found or reached."""


def nearest(got: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name nearest to `got`, or an empty string."""
    matches = difflib.get_close_matches(got, list(known), n=1, cutoff=0.6)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def unknown_name(what: str, got: object, known: Iterable[str]) -> UnknownNameError:
    """Build the error for a name that is not among `known`: what was got, what is allowed."""
    names = sorted(known)
    hint = nearest(got, names) if isinstance(got, str) else ""
    return UnknownNameError(f"Unknown {what} {got!r}.{hint} Known: {', '.join(names)}.")


def check_among(name: str, value: object, known: Collection[str]) -> None:
    """Raise UnknownNameError where the value of an option is not among the known ones."""
    if value not in known:
        raise unknown_name(name, value, known)


def whole_number(name: str, value: object, least: int | None = None) -> int:
    """Return the value of an option as an int, where it is one; NumPy's integers count.

    Raises:
        OptionError: It is not a whole number, or less than `least`.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # it says what is none
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        whole = "a whole number" if least is None else f"a whole number from {least}"
        raise OptionError(f"{name} is {whole}, got {value!r}.")
    return number

"""What every member of every family promises: it is a frozen config that travels as JSON."""

import json
import pickle
from collections.abc import Mapping
from typing import TypeVar

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.options import option_names
from graphrec_pt.core.registry import Registry, config_of, name_of
from graphrec_pt.testing.promise import BrokenPromise, promise

T = TypeVar("T")


def check_config(
    family: Registry[T],
    config: str | Mapping[str, object] | T,
    *,
    json_only: bool = False,
) -> None:
    """Check that a component comes back from JSON and pickle, and refuses unknown options.

    Args:
        family: Its registry, such as ``graphrec_pt.sampler``.
        config: Its name, its config, or the component itself.
        json_only: Leave pickle out, for members that hold a network.

    Raises:
        BrokenPromise: When a promise of all components does not hold.

    Example:
        >>> from graphrec_pt import sampler
        >>> check_config(sampler, {"name": "history", "window": 3})
    """
    member = family.build(config)
    survives_json(family, member)
    if not json_only:
        survives_pickle(member)
    refuses_unknown_options(family, member)


def survives_json(family: Registry[T], member: T) -> None:
    """Its config, written as JSON and read again, builds an equal component."""
    again = family.build(json.loads(json.dumps(config_of(member))))
    promise(again == member, member, "its JSON builds an equal component", again)


def travelled(member: T) -> T:
    """Return the copy of a component that a worker process gets; nothing is read from a file."""
    copy: T = pickle.loads(pickle.dumps(member))
    return copy


def survives_pickle(member: object) -> None:
    """It travels to the workers of a loader."""
    try:
        again = travelled(member)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        sentence = "it can be pickled: its class stands at the top of a module"
        message = f"{name_of(member)!r} breaks a promise: {sentence} ({error})"
        raise BrokenPromise(message) from error
    promise(again == member, member, "its pickle is an equal component", again)


def refuses_unknown_options(family: Registry[T], member: T) -> None:
    """A misspelt option is refused, and the error names the right one."""
    config = config_of(member)
    for option in option_names(type(member)):
        sentence = f"the misspelt option {option}x is refused with a suggestion"
        try:
            family.build({**config, option + "x": 1})
        except GraphRecError as error:
            promise(f"'{option}'" in str(error), member, sentence, error)
        else:
            promise(False, member, sentence, "it was accepted")

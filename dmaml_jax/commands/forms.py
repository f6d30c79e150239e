"""Owners of values as tyro reads them from a command line."""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import tyro

from dmaml_jax.commands.words import in_a_sentence, settled
from dmaml_jax.options import Option, applies, options_of


def read(
    command: type,
    owners: Mapping[str, Any],
    words: Sequence[str],
    *,
    about: str = "",
    name: str = "",
) -> Any:
    """A command's own flags and the values of owners, read from words.

    Args:
        command: a dataclass of the flags that no owner has.
        owners: the owners with their defaults, by the attribute that each becomes;
            `--help` shows each as a group.
        words: the words of the command line after the command's name.
        about: a text that `--help` shows below the command's own.
        name: the command's name; that of the dataclass's module if empty.

    Returns:
        A `command` that has an attribute for each owner, with those of its values that
        have an effect.

    Raises:
        UsageError: a flag that takes one value is given twice, or a value cannot be
            read.
        SystemExit: tyro has printed help.
    """
    values = {name: x for owner in owners.values() for name, x in vars(owner).items()}
    forms = {name: _form(name, owner, values) for name, owner in owners.items()}
    fields: list[Any] = [
        (name, type(form), dataclasses.field(default=form))
        for name, form in forms.items()
    ]
    # A class within a command's file has an underscore, and is of that command.
    name = name or command.__module__.rpartition(".")[2]
    shown = name.capitalize()
    kind = dataclasses.make_dataclass(shown, fields, bases=(command,), frozen=True)
    prog, args = f"dmaml-jax {name}", settled(words)
    return in_a_sentence(
        lambda: tyro.cli(
            kind,
            prog=prog,
            description=f"{inspect.getdoc(command)}\n{about}",
            args=args,
            config=(tyro.conf.FlagConversionOff, tyro.conf.OmitArgPrefixes),
        ),
        prog,
    )


def _help(option: Option, owner: Any) -> str:
    """An option's help, which tells of the usual default where a preset differs."""
    usual = option.default
    if getattr(owner, option.name) == usual or not isinstance(usual, int | float):
        return option.help
    return f"{option.help.rstrip('.')}; usually {usual}."


def _form(name: str, owner: Any, values: Mapping[str, Any]) -> Any:
    """An owner's values for tyro: those that have an effect, with their help."""
    fields: list[Any] = [
        (
            option.name,
            Annotated[option.type, tyro.conf.arg(help=_help(option, owner))],
            dataclasses.field(default=getattr(owner, option.name)),
        )
        for option in options_of(type(owner)).values()
        if applies(option, values)
    ]
    form = dataclasses.make_dataclass(name, fields, frozen=True)
    form.__doc__ = type(owner).__doc__
    return form()

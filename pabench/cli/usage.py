"""How `--help` reads: `pabench run [OPTIONS] SUITE`, in the words of the command and without types of Python.

What a value is says its metavar (`DIR`, `NAME`, `N`), which every argument and every option with a value has.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_called: list[str] = []


def given() -> list[str]:
    """The words of the command line of the command that runs, its own name first."""
    return list(_called)


def _names(context: Any) -> list[str]:
    """Of a command and of the groups that it is in, the program left out."""
    return [*_names(context.parent), context.info_name] if context.parent else []


class _Plain:
    """The lines of a command or of a group of commands."""

    def make_context(self: Any, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """As ever, with the words that were given (`given`); none of them is empty.

        `-o "$OUT"` without such a variable would be the folder that the command is started in.
        """
        words = list(args)  # parsing takes them out
        empty = [n for n, word in enumerate(words) if not word or _is_option_without_its_value(word)]
        if empty and not extra.get("resilient_parsing"):  # a shell that completes has half of a line
            before = words[empty[0]] or " ".join(words[: empty[0]][-1:])
            raise typer.BadParameter(f"nothing stands behind {before or info_name}; is a variable not set?")
        context = super().make_context(info_name, args, parent, **extra)  # type: ignore[misc]
        _called[:] = [*_names(context), *words]
        return context

    def collect_usage_pieces(self: Any, ctx: Any) -> list[str]:
        """What follows the command's name: `[OPTIONS] DIR...`."""
        pieces = [self.options_metavar, *(_shown(one) for one in self.get_params(ctx) if _is_argument(one))]
        return [*pieces, *([self.subcommand_metavar] if isinstance(self, TyperGroup) else [])]

    def format_options(self: Any, ctx: Any, formatter: Any) -> None:
        """Arguments, options and commands as two columns each."""
        rows: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for one in self.get_params(ctx):
            if record := one.get_help_record(ctx):
                word = one.metavar if _is_argument(one) else record[0]
                # a range is said of `x`, which nothing else is called
                help = record[1].replace("<=x", f"<={one.metavar}").replace("x>=", f"{one.metavar}>=")
                rows["Arguments" if _is_argument(one) else "Options"].append((word, help))
        for title, found in rows.items():
            if found:
                with formatter.section(title):
                    formatter.write_dl(found)
        if isinstance(self, TyperGroup):
            self.format_commands(ctx, formatter)


class Command(_Plain, TyperCommand):
    """A command whose help is in plain words."""


class Group(_Plain, TyperGroup):
    """A group of commands whose help is in plain words."""


def _is_option_without_its_value(word: str) -> bool:
    return word.startswith("--") and word.find("=") == len(word) - 1


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _shown(argument: Any) -> str:
    """As a usage line has it: in brackets where it may be left out.

    >>> from types import SimpleNamespace
    >>> _shown(SimpleNamespace(metavar="DIR", nargs=-1, required=True)), _shown(
    ...     SimpleNamespace(metavar="NAME", nargs=1, required=False))
    ('DIR...', '[NAME]')
    """
    word = argument.metavar + ("..." if argument.nargs != 1 else "")
    return word if argument.required else f"[{word}]"

"""The commands, by what they are about. Each module has a typer `app` whose commands become those of `pabench`.

Heavy imports happen inside commands, so that `--help` answers at once.
"""

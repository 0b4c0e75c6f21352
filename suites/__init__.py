"""Suites that come with pabench, one YAML file each; `pabench run NAME` finds them."""

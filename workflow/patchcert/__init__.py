"""Certified defenses against adversarial patches: masks, certificates, training, prediction and their report.

The package never imports Snakemake; the rules in ``rules/`` call it through the adapters in ``workflow/scripts/``.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("patchcert")
except PackageNotFoundError:  # the source tree is used without being installed, on a GPU machine for instance
    __version__ = "0+source"


class InputError(ValueError):
    """A fault in what the user gave: one message with the key or file, the value, and what to write instead."""

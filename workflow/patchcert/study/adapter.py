"""What every adapter in ``workflow/scripts/`` shares: a log that is a file and the terminal, and faults said plainly."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from patchcert import InputError


@contextlib.contextmanager
def job(log: str | Path) -> Iterator[None]:
    """Log to a file and to the terminal; end the process on the user's fault with its message and nothing else.

    Args:
        log: path of the job's log file.

    Raises:
        SystemExit: the block raised an :class:`~patchcert.InputError`; every other error goes on as it is, and into the log.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        logging.FileHandler(log, mode="w", encoding="utf-8"),
        logging.StreamHandler(sys.stderr),
    ]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers, force=True)
    try:
        yield
    except InputError as error:
        logging.error("%s", error)
        raise SystemExit(1) from None
    except Exception:
        logging.exception("the job failed")
        raise

"""Bring one raw input onto the disk: out of a package, generated, over HTTP or from a mirror, and never unverified."""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from patchcert import InputError, plugins
from patchcert.datasets import packaged
from patchcert.datasets.sources import UNPUBLISHED, Source
from patchcert.provenance import file_digest, file_sha256, whole_file

if TYPE_CHECKING:
    import requests

ATTEMPTS = 6
BACKOFF_S = 1.0
TIMEOUT_S = (30, 60)  # to connect, and between two blocks of the body
BLOCK_BYTES = 2**16
BUSY = (429, 500, 502, 503, 504)
HTTP = ("http://", "https://")
MANUAL = "manual:"
GENERATED = "generated:"
GENERATORS = "patchcert.datasets.generated"
FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a disk, or of a user's share of it, that is full."""
PAGES = ("text/html", "application/xhtml+xml")
PAGE_STARTS = (b"<!doctype html", b"<html")
"""What web pages begin with, in lower case."""

log = logging.getLogger(__name__)


def fetch(source: Source, target: Path, mirror: str | None = None) -> None:
    """Materialise a file of the registry at ``target``, whole and verified by size and digest, or not at all.

    A target that has the right digest already is left alone. A download that was cut, even by a killed process, is
    resumed from ``.{file}.{first 12 digits of its digest}.part`` beside the target, which is there only meanwhile.
    Of a file whose digest is unpublished, the first copy is trusted, and its digest recorded in ``{file}.sha256`` beside
    it, as ``sha256sum`` writes it; every later copy has to agree with that.
    Two processes must not fetch the same target at the same time.

    Args:
        source: the file.
        target: where to put it; its folder is made if need be.
        mirror: where to look in place of the origin: a folder, or a ``http://`` or ``https://`` address, that holds
            ``{name}/{version}/{file}``. Files of installed packages and generated ones are never looked for there; files of
            ``manual:`` origin come only from it.

    Raises:
        InputError: the file is nowhere to be found, cannot be downloaded, is a web page in its place, has another size or
            digest than the registry says, or does not fit onto the disk. What was downloaded before the connection was cut, a
            page came or the disk was full is left in the partial file, and of anything else nothing.
        OSError: the target cannot be written for another reason.
    """
    import pooch

    record = target.with_name(f"{target.name}.sha256")
    trusted = source.digest == UNPUBLISHED
    if trusted and record.is_file():
        source = replace(source, digest=f"sha256:{record.read_text(encoding='utf-8').split()[0]}")
    pooch.get_logger().setLevel(logging.WARNING)  # at INFO it would repeat our lines on stderr
    pooch.retrieve(
        source.origin,
        None if source.digest == UNPUBLISHED else source.digest,
        fname=target.name,
        path=target.parent,
        downloader=partial(_deliver, source, mirror),
    )
    if trusted and not record.is_file():
        with whole_file(record) as temporary:
            temporary.write_text(f"{file_sha256(target)}  {target.name}\n", encoding="utf-8")
        log.info("%s: nobody publishes its digest; what was fetched is trusted from now on, by %s", _named(source), record)


def _address(source: Source, mirror: str | None) -> str:
    if source.origin.startswith(packaged.PREFIX):
        try:
            return str(packaged.packaged_file(source.origin))
        except InputError as error:
            raise InputError(f"{_named(source)}: {error}") from error
    if source.origin.startswith(GENERATED):
        return source.origin
    parts = (source.name, source.version, source.file)
    if not mirror and source.origin.startswith(MANUAL):
        raise InputError(
            f"{_named(source)}: its licence ({source.licence}) forbids an automatic download; register at {_page(source)}, put "
            f"the file at FOLDER/{'/'.join(parts)} in a folder of yours, and set mirror: FOLDER in the configuration"
        )
    if not mirror:
        return source.origin
    if mirror.startswith(HTTP):
        return "/".join([mirror.rstrip("/"), *parts])
    if "://" in mirror:
        raise InputError(f"mirror: {mirror!r}; write the path of a folder, or a http:// or https:// address")
    path = Path(mirror).expanduser().joinpath(*parts)
    if not path.is_file():
        raise _absent(source, str(path), "no such file")
    return str(path)


def _deliver(source: Source, mirror: str | None, _origin: str, output: str, _pooch: object) -> None:
    """What pooch calls to fill ``output``, an empty file beside the target that it moves there afterwards."""
    address = _address(source, mirror)
    received = Path(output)
    received.unlink()  # or a killed process would leave it behind
    part = received.with_name(f".{source.file}.{_start_of_digest(source)}.part")
    for other in part.parent.glob(f".{escape(source.file)}.{'[0-9a-f]' * 12}.part"):
        if other != part:
            log.warning("removing %s, a partial download of other content", other)
            other.unlink()
    log.info("fetching %s from %s: %s", _named(source), address, source.content)
    with _room(source, address, part):
        if address.startswith(HTTP):
            _download(source, address, part)
        elif address.startswith(GENERATED):
            _generate(source, part)
        else:
            shutil.copyfile(address, part)
    if source.digest == UNPUBLISHED and (fault := _unlike_a_file(source, part)):
        part.unlink()
        raise _no_file(source, address, fault)
    size, digest = part.stat().st_size, _digest(source, part)
    if size != (source.bytes or size) or not _is(source, digest):
        part.unlink()
        asked = address if address == source.origin else f"{address} (for {_page(source)})"
        raise InputError(
            f"{_named(source)}: {asked} is not the file of the registry: "
            f"expected {source.content}, found {size} bytes with {digest}; nothing of it was kept. {_look(source)}, "
            "or correct the file's bytes, digest or origin in the registry"
        )
    part.replace(received)
    log.info("fetched %s: %d bytes, %s", _named(source), size, digest)


@contextlib.contextmanager
def _room(source: Source, address: str, part: Path) -> Iterator[None]:
    """Say of a full disk what there was to write; a download is kept to be resumed, and of anything else nothing."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        resumed = address.startswith(HTTP)
        kept = f"{_size(part)} bytes of it are kept" if resumed else "nothing of it was kept"
        if not resumed:
            part.unlink()
        raise InputError(
            f"{_named(source)}: {address}: the disk of {part.parent} is full ({error.strerror}), {source.bytes or 'its'} bytes "
            f"do not fit; {kept}. Free space there, or set directories.data to a folder on another disk, and run again"
            f"{' to resume' if resumed else ''}"
        ) from error


def _unlike_a_file(source: Source, part: Path) -> str:
    """What tells that a file whose content nobody knows is none; empty where nothing does."""
    with part.open("rb") as stream:
        start = stream.read(BLOCK_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return "an empty file"
    return "a web page" if start.startswith(PAGE_STARTS) and not _may_be_a_page(source) else ""


def _may_be_a_page(source: Source) -> bool:
    return source.file.endswith((".html", ".htm"))


def _generate(source: Source, part: Path) -> None:
    name, _, query = source.origin.removeprefix(GENERATED).partition("?")
    numbers = {key: int(value) for key, value in parse_qsl(query)}
    try:
        plugins.load(GENERATORS, name).generate(source.file, part, numbers)
    except InputError as error:
        raise InputError(f"{_named(source)}: {source.origin}: {error}") from error


def _download(source: Source, address: str, part: Path) -> None:
    if part.exists():
        _complete(source, address, part)
        if _is(source, _digest(source, part)):
            return
        log.warning("%s, resumed from an earlier partial file, has a wrong digest: starting over", _named(source))
        part.unlink()
    _complete(source, address, part)


def _complete(source: Source, address: str, part: Path) -> None:
    """Download what is missing of a partial file, in several connections if they are cut."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry
    from urllib3.exceptions import HTTPError

    retries = Retry(ATTEMPTS - 1, status_forcelist=BUSY, backoff_factor=BACKOFF_S, raise_on_status=False)
    with requests.Session() as session:
        for scheme in HTTP:
            session.mount(scheme, HTTPAdapter(max_retries=retries))
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(BACKOFF_S * 2 ** (attempt - 1))
            try:
                return _rest(session, source, address, part)
            except requests.RequestException as error:
                raise InputError(
                    f"{_named(source)}: {address}: {error}; check the address and the network and run again, "
                    "or set a mirror that can be reached"
                ) from error
            except HTTPError as error:
                log.warning("%s: the connection was cut after %d bytes: %s", address, _size(part), error)
    raise InputError(
        f"{_named(source)}: {address}: the connection was cut {ATTEMPTS} times; "
        f"{_size(part)} of {source.bytes or 'all'} bytes are kept: run again to resume"
    )


def _rest(session: requests.Session, source: Source, address: str, part: Path) -> None:
    from tqdm import tqdm

    start = _size(part)
    if start == source.bytes:
        return
    # identity, and no decoding below: the digest is that of the file, not of what a server makes of it under way
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with session.get(address, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        if start and response.status_code == 416:  # the server's file is shorter than the partial one
            part.unlink()
            return _rest(session, source, address, part)
        answer = f"the server answered {response.status_code} {response.reason}"
        if response.status_code in BUSY:
            raise InputError(f"{_named(source)}: {address}: {answer}; run again later, or set another mirror")
        if not response.ok:
            raise _absent(source, address, answer)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in PAGES and not _may_be_a_page(source):  # before the partial file is written over
            raise _no_file(source, address, f"a web page ({kind})")
        resumed = response.status_code == 206
        if resumed:
            log.info("resuming %s at byte %d of %s", _named(source), start, source.bytes or "all")
        done = start if resumed else 0
        with (
            part.open("ab" if resumed else "wb") as stream,
            tqdm(total=source.bytes, initial=done, unit="B", unit_scale=True, desc=source.file, disable=None) as bar,
        ):
            for block in response.raw.stream(BLOCK_BYTES, decode_content=False):
                stream.write(block)
                bar.update(len(block))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest(source: Source, path: Path) -> str:
    """The digest of a file by the algorithm that the registry has for it."""
    return file_digest(path, "sha256" if source.digest == UNPUBLISHED else source.digest.partition(":")[0])


def _is(source: Source, digest: str) -> bool:
    """Whether a digest is that of the source's content."""
    return source.digest in (digest, UNPUBLISHED)


def _start_of_digest(source: Source) -> str:
    """Twelve digits by which partial downloads of other content are told apart."""
    return "0" * 12 if source.digest == UNPUBLISHED else source.digest.partition(":")[2][:12]


def _page(source: Source) -> str:
    """Where people find the file."""
    return source.origin.removeprefix(MANUAL)


def _look(source: Source) -> str:
    """What to do about content that is not that of the registry."""
    if source.origin.startswith(GENERATED):
        return "Install the versions that the environment is locked to and run again"
    return "Look at what is there, a web page for instance, and run again"


def _named(source: Source) -> str:
    return f"{source.name} {source.version}, {source.file}"


def _no_file(source: Source, address: str, found: str) -> InputError:
    """Something else came in place of the file, with every sign of success."""
    return InputError(
        f"{_named(source)}: {address}: {found} came in place of the file; look at it in a browser, since it may ask you "
        "to log in or say what is wrong, correct the file's origin in the registry, or set a mirror that has the file"
    )


def _absent(source: Source, address: str, reason: str) -> InputError:
    remedy = (
        "correct the file's origin in the registry, or set a mirror"
        if address == source.origin
        else f"put there the file of {_page(source)}, {source.content}"
    )
    return InputError(f"{_named(source)}: {address}: {reason}; {remedy}")

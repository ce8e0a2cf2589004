"""Fetching from a package, a folder and a loopback HTTP server that misbehaves on demand."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from patchcert import InputError
from patchcert.datasets import fetch as module
from patchcert.datasets.fetch import fetch
from patchcert.datasets.sources import UNPUBLISHED, Source, read_sources

REGISTRY = Path(__file__).parents[2] / "config" / "sources.csv"
CONTENT = b"".join(hashlib.sha256(bytes([number % 256, number // 256])).digest() for number in range(20_000))
CUT = 300_000
STALLED = CUT - CUT % module.BLOCK_BYTES
"""What is kept of that many bytes when no more come: whole blocks."""
PAGE = b"<!DOCTYPE html><title>Please log in</title>"


class Server(ThreadingHTTPServer):
    """Serves ``content`` at every path and remembers what it was asked for and how many bytes it sent.

    Attributes:
        behaviours: for one request each, in turn; then it behaves.
        ranges: the Range header of each request, ``""`` where there was none.
        sent: how many bytes of a body each request was answered with.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.behaviours: list[str] = []
        self.with_ranges = True
        self.paths: list[str] = []
        self.encodings: list[str] = []
        self.ranges: list[str] = []
        self.sent: list[int] = []
        self.released = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.paths.append(self.path)
        self.server.ranges.append(asked)
        self.server.encodings.append(self.headers["Accept-Encoding"])
        behaviour = self.server.behaviours.pop(0) if self.server.behaviours else "fine"
        if behaviour == "silent":
            self.server.released.wait(30)
            return
        if behaviour == "page":
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)
            return
        if behaviour.isdecimal():
            self.send_response(int(behaviour))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.with_ranges else 0
        if start and start >= len(self.server.content):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if behaviour == "encoded":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        whole = behaviour not in ("cut", "stall")
        self.server.sent.append(len(body) if whole else CUT)  # before the client, which then goes on, has all of it
        self.wfile.write(body if whole else body[:CUT])
        if behaviour == "stall":
            self.wfile.flush()
            self.server.released.wait(30)

    def log_message(self, *arguments: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def impatient_and_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def source(server: Server) -> Source:
    digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    return Source("flowers", "2.1", "flowers.bin", digest, len(CONTENT), "CC0-1.0", f"{server.address}/flowers.bin")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "flowers.bin"


def partial_file(source: Source, target: Path) -> Path:
    target.parent.mkdir(exist_ok=True)
    return target.with_name(f".{source.file}.{source.digest.split(':')[1][:12]}.part")


def left_behind(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def assert_fetched(target: Path) -> None:
    assert target.read_bytes() == CONTENT
    assert left_behind(target) == [target.name]


def fault(source: Source, target: Path, mirror: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        fetch(source, target, mirror)
    assert not target.exists()
    return str(caught.value)


# --- packages ---------------------------------------------------------------------------------------------------------


PACKAGED = [*read_sources(REGISTRY)["digits"], *read_sources(REGISTRY)["photographs"]]


@pytest.mark.parametrize("entry", PACKAGED, ids=lambda entry: entry.file)
def test_some_files_come_out_of_the_installed_package_whatever_the_mirror(entry: Source, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / entry.file
    fetch(entry, target, mirror=str(tmp_path / "absent"))
    assert f"sha256:{hashlib.sha256(target.read_bytes()).hexdigest()}" == entry.digest
    assert left_behind(target) == [entry.file]
    assert target.stat().st_mode & 0o077 == 0o666 & ~_umask() & 0o077


def _umask() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("Umask:")[1].split()[0], 8)


def test_a_package_that_is_not_installed_is_named(source: Source, target: Path) -> None:
    message = fault(replace(source, origin="package:no_package/a.gz"), target)
    assert message == (
        "flowers 2.1, flowers.bin: package:no_package/a.gz: no Python package no_package is installed; install it"
    )


@pytest.mark.parametrize("package", ["sklearn", "this"])
def test_a_file_that_a_package_lacks_is_named_with_where_it_was_looked_for(source: Source, target: Path, package: str) -> None:
    message = fault(replace(source, origin=f"package:{package}/data/none.gz"), target)
    assert f"package:{package}/data/none.gz: no data/none.gz in " in message
    assert f"/{package}" in message


# --- HTTP -------------------------------------------------------------------------------------------------------------


def test_a_file_comes_whole_and_its_start_and_end_are_logged(
    server: Server, source: Source, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "patchcert")
    fetch(source, target)
    assert_fetched(target)
    assert server.ranges == [""]
    messages = [record.message for record in caplog.records if record.name == "patchcert.datasets.fetch"]
    assert messages == [
        f"fetching flowers 2.1, flowers.bin from {source.origin}: {source.content}",
        f"fetched flowers 2.1, flowers.bin: {source.bytes} bytes, {source.digest}",
    ]


def test_a_good_target_is_left_alone(server: Server, source: Source, target: Path) -> None:
    fetch(source, target)
    fetch(source, target)
    fetch(source, target, mirror="absent")
    assert len(server.paths) == 1


def test_a_target_with_other_content_is_replaced(source: Source, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"old")
    fetch(source, target)
    assert_fetched(target)


def test_bytes_are_taken_as_they_are_whatever_encoding_the_server_claims(server: Server, source: Source, target: Path) -> None:
    server.behaviours = ["encoded"]
    fetch(source, target)
    assert_fetched(target)
    assert server.encodings == ["identity"]


@pytest.mark.parametrize("status", ["503", "429", "500"])
def test_a_busy_server_is_asked_again(server: Server, source: Source, target: Path, status: str) -> None:
    server.behaviours = [status, status]
    fetch(source, target)
    assert_fetched(target)
    assert len(server.paths) == 3


def test_a_server_that_stays_busy_is_named_with_its_answer(server: Server, source: Source, target: Path) -> None:
    server.behaviours = ["503"] * 100
    assert f"{source.origin}: the server answered 503 Service Unavailable; run again later" in fault(source, target)
    assert len(server.paths) == module.ATTEMPTS


def test_an_absent_file_is_named_with_its_address_and_what_to_do(server: Server, source: Source, target: Path) -> None:
    server.behaviours = ["404"]
    assert fault(source, target) == (
        f"flowers 2.1, flowers.bin: {source.origin}: the server answered 404 Not Found; "
        "correct the file's origin in the registry, or set a mirror"
    )
    assert left_behind(target) == []


def test_a_server_that_cannot_be_reached_is_named(server: Server, source: Source, target: Path) -> None:
    closed = Server()
    closed.server_close()
    message = fault(replace(source, origin=f"{closed.address}/flowers.bin"), target)
    assert f"{closed.address}/flowers.bin: " in message
    assert "check the address and the network" in message


# --- resuming ---------------------------------------------------------------------------------------------------------


def test_a_connection_that_is_cut_is_resumed_with_the_rest_alone(
    server: Server, source: Source, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "patchcert")
    server.behaviours = ["cut"]
    fetch(source, target)
    assert_fetched(target)
    assert server.ranges == ["", f"bytes={CUT}-"]
    assert server.sent == [CUT, len(CONTENT) - CUT]
    assert f"the connection was cut after {CUT} bytes" in caplog.text
    assert f"resuming flowers 2.1, flowers.bin at byte {CUT} of {source.bytes}" in caplog.text


def test_a_server_that_ignores_ranges_sends_everything_again(server: Server, source: Source, target: Path) -> None:
    server.with_ranges = False
    server.behaviours = ["cut"]
    fetch(source, target)
    assert_fetched(target)
    assert server.sent == [CUT, len(CONTENT)]


def cut_and_resumed(server: Server, source: Source, target: Path) -> str:
    """The message of a download that is cut each time, which leaves its partial file for the next run to resume."""
    server.with_ranges = False
    server.behaviours = ["cut"] * module.ATTEMPTS
    message = fault(source, target)
    assert left_behind(target) == [partial_file(source, target).name]
    server.with_ranges = True
    fetch(source, target)
    assert_fetched(target)
    assert server.ranges[-1] == f"bytes={CUT}-"
    return message


def test_a_download_that_is_cut_again_and_again_keeps_what_it_has_for_the_next_run(
    server: Server, source: Source, target: Path
) -> None:
    message = cut_and_resumed(server, source, target)
    assert f"the connection was cut {module.ATTEMPTS} times; {CUT} of {len(CONTENT)} bytes are kept" in message


def test_a_killed_download_is_resumed_by_the_next(server: Server, source: Source, target: Path) -> None:
    server.behaviours = ["stall"]
    code = "\n".join(
        [
            "import pathlib",
            "from patchcert.datasets.fetch import fetch",
            "from patchcert.datasets.sources import Source",
            f"fetch({source!r}, pathlib.Path({str(target)!r}))",
        ]
    )
    part = partial_file(source, target)
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        limit = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size) and time.monotonic() < limit:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = part.stat().st_size
    assert 0 < kept <= CUT
    assert left_behind(target) == [part.name]
    fetch(source, target)
    assert_fetched(target)
    assert server.ranges == ["", f"bytes={kept}-"]
    assert sorted(server.sent) == sorted([CUT, len(CONTENT) - kept])


def test_a_whole_partial_file_needs_no_request(server: Server, source: Source, target: Path) -> None:
    partial_file(source, target).write_bytes(CONTENT)
    fetch(source, target)
    assert_fetched(target)
    assert server.paths == []


def test_a_partial_file_of_another_digest_is_removed_and_those_of_other_files_stay(
    server: Server, source: Source, target: Path
) -> None:
    partial_file(replace(source, digest="sha256:" + "0f" * 32), target).write_bytes(b"older release")
    neighbour = target.with_name(f".{source.file}.index.{source.digest.split(':')[1][:12]}.part")
    neighbour.write_bytes(b"of flowers.bin.index")
    fetch(source, target)
    assert server.ranges == [""]
    assert left_behind(target) == sorted([target.name, neighbour.name])


def test_a_partial_file_that_does_not_fit_the_rest_is_given_up(
    server: Server, source: Source, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    partial_file(source, target).write_bytes(b"other content")
    fetch(source, target)
    assert_fetched(target)
    assert server.ranges == ["bytes=13-", ""]
    assert "starting over" in caplog.text


def test_a_partial_file_that_is_too_long_is_given_up(server: Server, source: Source, target: Path) -> None:
    partial_file(source, target).write_bytes(CONTENT + b"more")
    fetch(source, target)
    assert_fetched(target)
    assert server.ranges == [f"bytes={len(CONTENT) + 4}-", ""]


# --- a server that stalls, a page in place of the file, a full disk ---------------------------------------------------------


@pytest.fixture
def short_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", (30, 0.2))


@pytest.mark.usefixtures("short_of_time")
@pytest.mark.parametrize(
    ("behaviours", "ranges"),
    [
        (["silent"], ["", ""]),
        (["stall"], ["", f"bytes={STALLED}-"]),
        (["500", "stall", "silent"], ["", "", f"bytes={STALLED}-", f"bytes={STALLED}-"]),
    ],
    ids=["before", "within", "several"],
)
def test_a_server_that_stalls_is_asked_again_for_the_rest(
    server: Server, source: Source, target: Path, behaviours: list[str], ranges: list[str]
) -> None:
    server.behaviours = behaviours
    fetch(source, target)
    assert_fetched(target)
    assert server.ranges == ranges


@pytest.mark.usefixtures("short_of_time")
@pytest.mark.parametrize(
    ("behaviour", "told", "kept"),
    [
        ("silent", "check the address and the network and run again", False),
        ("stall", f"was cut {module.ATTEMPTS} times; {STALLED} of {len(CONTENT)} bytes are kept: run again", True),
    ],
)
def test_a_server_that_goes_on_stalling_is_named_with_what_to_do(
    server: Server, source: Source, target: Path, behaviour: str, told: str, kept: bool
) -> None:
    server.with_ranges = False
    server.behaviours = [behaviour] * 100
    message = fault(source, target)
    assert message.startswith(f"flowers 2.1, flowers.bin: {source.origin}: ")
    assert told in message
    assert left_behind(target) == [partial_file(source, target).name] * kept
    assert len(server.paths) == module.ATTEMPTS


@pytest.mark.parametrize("known", [True, False], ids=["digest", "unpublished"])
@pytest.mark.parametrize("kept", [True, False], ids=["resumed", "new"])
def test_a_page_with_every_sign_of_success_is_no_file_and_costs_no_partial_download(
    server: Server, source: Source, target: Path, known: bool, kept: bool
) -> None:
    if not known:
        source = replace(source, digest=UNPUBLISHED, bytes=None)
    server.behaviours = ["cut", "page"] if kept else ["page"]
    message = fault(source, target)
    assert message.startswith(f"flowers 2.1, flowers.bin: {source.origin}: a web page (text/html) came in place of the file; ")
    assert "or set a mirror" in message
    assert [(target.parent / name).stat().st_size for name in left_behind(target)] == [CUT] * kept
    fetch(source, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges[-1] == (f"bytes={CUT}-" if kept else "")


@pytest.mark.parametrize(
    ("content", "found"), [(PAGE, "a web page"), (b"\xef\xbb\xbf\n <HTML lang=en>", "a web page"), (b"", "an empty file")]
)
def test_what_is_no_file_is_never_trusted_as_the_first_copy(
    server: Server, source: Source, target: Path, content: bytes, found: str
) -> None:
    source = replace(source, digest=UNPUBLISHED, bytes=None)
    server.content = content
    assert f"{source.origin}: {found} came in place of the file" in fault(source, target)
    assert left_behind(target) == []
    if content:
        fetch(replace(source, file="page.html"), target.with_name("page.html"))
        assert target.with_name("page.html").read_bytes() == content


class Full(io.FileIO):
    """A file on a disk with room for ``CUT`` bytes."""

    def write(self, block: Any) -> int:
        if self.tell() + len(block) <= CUT:
            return super().write(block)
        super().write(block[: CUT - self.tell()])
        raise OSError(errno.ENOSPC, "No space left on device", self.name)


def test_a_full_disk_ends_in_what_to_do_and_the_download_is_resumed(
    server: Server, source: Source, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, usual = partial_file(source, target), Path.open

    def opened(path: Path, mode: str = "r", *arguments: Any, **settings: Any) -> Any:
        return Full(path, mode) if path == part and "r" not in mode else usual(path, mode, *arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        message = fault(source, target)
    assert message.startswith(f"flowers 2.1, flowers.bin: {source.origin}: the disk of {target.parent} is full (No space left ")
    assert f"{source.bytes} bytes do not fit; {CUT} bytes of it are kept. Free space there, or set directories.data" in message
    assert left_behind(target) == [part.name]
    fetch(source, target)
    assert_fetched(target)
    assert server.ranges == ["", f"bytes={CUT}-"]


def test_of_a_copy_that_fills_the_disk_nothing_is_kept(source: Source, target: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror" / "flowers" / "2.1" / "flowers.bin"
    mirror.parent.mkdir(parents=True)
    mirror.write_bytes(CONTENT)
    partial_file(source, target).symlink_to("/dev/full")
    message = fault(source, target, mirror=str(tmp_path / "mirror"))
    assert f"{mirror}: the disk of {target.parent} is full" in message
    assert "nothing of it was kept" in message
    assert left_behind(target) == []


def test_a_folder_that_may_not_be_written_to_stays_the_systems_own_fault(
    source: Source, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Source, address: str, part: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(part))

    monkeypatch.setattr(module, "_download", refuse)
    with pytest.raises(PermissionError):
        fetch(source, target)
    assert left_behind(target) == []


# --- wrong content ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [CONTENT[:-1] + b"x", CONTENT[:-1], CONTENT + b"x", PAGE, b""],
    ids=["byte", "short", "long", "page", "empty"],
)
@pytest.mark.parametrize("resumed", [False, True])
def test_other_content_is_refused_with_both_digests_and_nothing_is_left(
    server: Server, source: Source, target: Path, content: bytes, resumed: bool
) -> None:
    if resumed:
        partial_file(source, target).write_bytes(CONTENT[:CUT])
    server.content = content
    message = fault(source, target)
    assert message.startswith(f"flowers 2.1, flowers.bin: {source.origin} is not the file of the registry: ")
    assert f"expected {source.bytes} bytes with {source.digest}, " in message
    assert f"found {len(content)} bytes with sha256:{hashlib.sha256(content).hexdigest()}; " in message
    assert left_behind(target) == []


def test_the_size_of_the_registry_must_be_true_too(source: Source, target: Path) -> None:
    message = fault(replace(source, bytes=source.bytes + 1), target)
    assert f"expected {source.bytes + 1} bytes with {source.digest}, found {source.bytes} bytes" in message
    assert left_behind(target) == []


# --- a digest that nobody publishes -----------------------------------------------------------------------------------------


@pytest.fixture
def unpublished(source: Source) -> Source:
    return replace(source, digest=UNPUBLISHED, bytes=None)


def test_the_first_copy_of_a_file_without_a_published_digest_is_trusted_and_recorded(unpublished: Source, target: Path) -> None:
    fetch(unpublished, target)
    record = target.with_name("flowers.bin.sha256")
    assert record.read_text() == f"{hashlib.sha256(CONTENT).hexdigest()}  flowers.bin\n"
    subprocess.run(["sha256sum", "--check", "--quiet", record.name], cwd=target.parent, check=True)
    assert target.read_bytes() == CONTENT


def test_every_later_copy_has_to_be_the_first(server: Server, unpublished: Source, target: Path) -> None:
    fetch(unpublished, target)
    target.unlink()
    fetch(unpublished, target)
    server.content = PAGE
    target.unlink()
    message = fault(unpublished, target)
    digests = [hashlib.sha256(content).hexdigest() for content in (CONTENT, PAGE)]
    assert f"expected any number of bytes with sha256:{digests[0]}, found {len(PAGE)} bytes with sha256:{digests[1]}" in message
    assert left_behind(target) == ["flowers.bin.sha256"]


def test_a_cut_download_of_unknown_size_is_resumed(server: Server, unpublished: Source, target: Path) -> None:
    server.behaviours = ["cut"]
    fetch(unpublished, target)
    assert target.read_bytes() == CONTENT
    assert left_behind(target) == ["flowers.bin", "flowers.bin.sha256"]


# --- MD5 -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def by_md5(source: Source) -> Source:
    return replace(source, digest=f"md5:{hashlib.md5(CONTENT).hexdigest()}")


def test_a_file_is_verified_by_the_digest_that_its_publisher_gives(server: Server, by_md5: Source, target: Path) -> None:
    assert "run again to resume" in cut_and_resumed(server, by_md5, target)


def test_other_content_is_refused_with_both_digests_of_the_same_kind(server: Server, by_md5: Source, target: Path) -> None:
    server.content = CONTENT[:-1] + b"x"
    message = fault(by_md5, target)
    assert f"expected {by_md5.bytes} bytes with {by_md5.digest}, " in message
    assert f"found {by_md5.bytes} bytes with md5:{hashlib.md5(server.content).hexdigest()}; " in message
    assert left_behind(target) == []


# --- mirrors ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mirrored(tmp_path: Path) -> Path:
    path = tmp_path / "mirror" / "flowers" / "2.1" / "flowers.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    path.chmod(0o400)
    return path


def test_a_folder_takes_the_place_of_the_origin(
    server: Server, source: Source, target: Path, mirrored: Path, tmp_path: Path
) -> None:
    fetch(source, target, mirror=str(tmp_path / "mirror"))
    assert_fetched(target)
    assert server.paths == []
    assert target.stat().st_mode & 0o200


def test_a_file_that_a_folder_lacks_is_named_with_what_to_put_there(
    source: Source, target: Path, mirrored: Path, tmp_path: Path
) -> None:
    mirrored.unlink()
    assert fault(source, target, mirror=str(tmp_path / "mirror")) == (
        f"flowers 2.1, flowers.bin: {mirrored}: no such file; "
        f"put there the file of {source.origin}, {source.bytes} bytes with {source.digest}"
    )


def test_other_content_in_a_folder_is_named_with_the_origin(
    source: Source, target: Path, mirrored: Path, tmp_path: Path
) -> None:
    mirrored.chmod(0o600)
    mirrored.write_bytes(PAGE)
    message = fault(source, target, mirror=str(tmp_path / "mirror"))
    assert f"{mirrored} (for {source.origin}) is not the file of the registry" in message
    assert left_behind(target) == []


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_web_address_takes_the_place_of_the_origin(server: Server, source: Source, target: Path, slash: str) -> None:
    source = replace(source, origin="https://flowers.invalid/flowers.bin")
    fetch(source, target, mirror=f"{server.address}/raw{slash}")
    assert_fetched(target)
    assert server.paths == ["/raw/flowers/2.1/flowers.bin"]


def test_a_file_that_a_web_address_lacks_is_named_with_what_to_put_there(server: Server, source: Source, target: Path) -> None:
    server.behaviours = ["404"]
    assert fault(source, target, mirror=server.address) == (
        f"flowers 2.1, flowers.bin: {server.address}/flowers/2.1/flowers.bin: the server answered 404 Not Found; "
        f"put there the file of {source.origin}, {source.bytes} bytes with {source.digest}"
    )


def test_an_empty_mirror_is_none(server: Server, source: Source, target: Path) -> None:
    fetch(source, target, mirror="")
    assert server.paths == ["/flowers.bin"]


@pytest.mark.parametrize("mirror", ["ftp://example.org/raw", "file:///raw", "HTTP://example.org"])
def test_a_mirror_of_another_kind_is_refused(source: Source, target: Path, mirror: str) -> None:
    assert fault(source, target, mirror).startswith(f"mirror: {mirror!r}; write the path of a folder, or ")


# --- files that may not be downloaded automatically -------------------------------------------------------------------------


@pytest.fixture
def manual(server: Server, source: Source) -> Source:
    return replace(source, licence="research only", origin=f"manual:{server.address}/register")


@pytest.mark.parametrize("mirror", [None, ""])
def test_a_file_of_manual_origin_is_asked_of_people(server: Server, manual: Source, target: Path, mirror: str | None) -> None:
    assert fault(manual, target, mirror) == (
        "flowers 2.1, flowers.bin: its licence (research only) forbids an automatic download; "
        f"register at {server.address}/register, put the file at FOLDER/flowers/2.1/flowers.bin in a folder of yours, "
        "and set mirror: FOLDER in the configuration"
    )
    assert server.paths == []


def test_a_file_of_manual_origin_comes_from_a_folder(
    server: Server, manual: Source, target: Path, mirrored: Path, tmp_path: Path
) -> None:
    fetch(manual, target, mirror=str(tmp_path / "mirror"))
    assert_fetched(target)
    assert server.paths == []
    fetch(manual, target)  # once it is there, no mirror is needed


def test_a_file_of_manual_origin_comes_from_a_web_address(server: Server, manual: Source, target: Path) -> None:
    fetch(manual, target, mirror=server.address)
    assert_fetched(target)
    assert server.paths == ["/flowers/2.1/flowers.bin"]


def test_a_file_of_manual_origin_that_a_folder_lacks_is_named_with_its_page(
    server: Server, manual: Source, target: Path, tmp_path: Path
) -> None:
    assert fault(manual, target, mirror=str(tmp_path)) == (
        f"flowers 2.1, flowers.bin: {tmp_path}/flowers/2.1/flowers.bin: no such file; "
        f"put there the file of {server.address}/register, {manual.bytes} bytes with {manual.digest}"
    )

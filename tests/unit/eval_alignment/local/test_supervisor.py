"""`up`: what it prints about its addresses, and when it goes on without one of its processes."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from eval_alignment import __version__, settings
from eval_alignment.local import supervisor
from eval_alignment.local.children import Child
from eval_alignment.local.saved_dead_letters import SavedDeadLetters
from streams.runtime.exit_codes import ExitCode


@pytest.mark.parametrize("address", ["127.0.0.1:8389", "127.0.0.1:1"])
def test_another_address_of_ingest_than_the_default_is_explained(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_free_address", lambda _settings, _field: address)
    printed: list[str] = []
    supervisor.Supervisor(settings.load(data_dir=tmp_path), 1, printed.append)._print_addresses()
    (line,) = [line for line in printed if line.startswith("  events")]
    explained = "another program listens on 127.0.0.1:8389" in line
    assert (f"POST http://{address}/" in line, explained) == (True, address != "127.0.0.1:8389")


class EndedChild(Child):
    """A view that ends with a code, or cannot be started."""

    def __init__(self, log: Path, end: ExitCode | OSError) -> None:
        super().__init__("view", "127.0.0.1:1", [], log, {})
        self._end = end

    async def start(self) -> None:
        if isinstance(self._end, OSError):
            raise self._end

    async def wait(self) -> int:
        assert isinstance(self._end, ExitCode)
        return self._end.code


def up(directory: Path, *, was_ready: bool) -> supervisor.Supervisor:
    """An `up` that was ready once, or never."""
    created = supervisor.Supervisor(settings.load(data_dir=directory), 1, lambda _: None)
    created._was_ready = was_ready
    return created


async def test_a_view_whose_disk_is_full_ends_no_other_process(tmp_path: Path) -> None:
    log = tmp_path / "view.log"
    log.write_text("starting\nview ends: database or disk is full\n")
    view = EndedChild(log, ExitCode.STORE_UNUSABLE)
    with pytest.raises(supervisor.UpError, match=r"cannot run \(exit code 88\)"):
        await up(tmp_path, was_ready=False)._run_to_end(view)
    ended = await up(tmp_path, was_ready=True)._run_to_end(view)
    assert ended == "ended with exit code 88: view ends: database or disk is full"


async def test_a_process_whose_log_cannot_be_opened_ends_no_other(tmp_path: Path) -> None:
    log = tmp_path / "gone" / "view.log"
    view = EndedChild(log, OSError(errno.ENOENT, "No such file or directory", str(log)))
    with pytest.raises(OSError, match="No such file"):
        await up(tmp_path, was_ready=False)._run_to_end(view)
    ended = await up(tmp_path, was_ready=True)._run_to_end(view)
    assert ended.startswith("cannot be started: [Errno 2] No such file")
    assert ended.endswith(f"check the disk of {tmp_path}, its free space and its rights")


async def test_a_process_starts_after_its_data_directory_was_deleted(tmp_path: Path) -> None:
    logs = tmp_path / "data" / "logs"
    child = Child("worker", "127.0.0.1:1", ["--version"], logs / "worker.log", {})
    ended = await up(tmp_path / "data", was_ready=True)._run_to_end(child)
    assert ended == "ended with exit code 0"
    assert logs.stat().st_mode & 0o777 == 0o700
    assert __version__ in child.tail()


@pytest.mark.parametrize("was_ready", [False, True])
async def test_a_process_that_a_restart_cannot_help_ends_all(tmp_path: Path, *, was_ready: bool) -> None:
    view = EndedChild(tmp_path / "gone.log", ExitCode.NEWER_SCHEMA)
    with pytest.raises(supervisor.UpError, match=r"exit code 83\):\nits log cannot be read: .*gone\.log"):
        await up(tmp_path, was_ready=was_ready)._run_to_end(view)


async def test_a_disk_that_refuses_the_first_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, _text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(supervisor.UpError, match=r"No space left on device: '.*broker'; check the disk of .*"):
        await up(tmp_path, was_ready=False).run()


@pytest.mark.parametrize(
    ("number", "file", "advice"),
    [
        (errno.EACCES, "data/logs/view.log", "check the disk of"),
        (errno.ENOSPC, None, "check the disk of"),
        (errno.EAGAIN, None, "`ulimit -u`"),
        (errno.EMFILE, "data/logs/view.log", "`ulimit -n`"),
        (errno.ENOENT, "python", "check this file and its rights"),
        (errno.ECONNRESET, None, "Connection reset by peer"),
    ],
)
async def test_an_error_of_the_system_comes_with_what_helps(
    number: int, file: str | None, advice: str, tmp_path: Path
) -> None:
    named = () if file is None else (str(tmp_path / file),)
    view = EndedChild(tmp_path / "view.log", OSError(number, os.strerror(number), *named))
    ended = await up(tmp_path / "data", was_ready=True)._run_to_end(view)
    assert (advice in ended, "disk" in ended) == (True, "disk" in advice)


def stale(path: object, *_: object, **__: object) -> NoReturn:
    """What a system call on a lost network disk does."""
    raise OSError(errno.ESTALE, "Stale file handle", str(path))


async def test_logs_are_bounded_again_when_their_disk_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "view.log").touch()
    scandir = os.scandir
    scans: list[object] = []

    def scan_later(path: str) -> object:
        scans.append(path)
        if len(scans) == 1:
            stale(path)
        return scandir(path)

    def capped(log: Path) -> None:
        raise RuntimeError(f"capped {log.name}")

    monkeypatch.setattr(supervisor, "_LOG_SECONDS", 0)
    monkeypatch.setattr(supervisor, "cap_log", capped)
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scan_later)
        with pytest.raises(RuntimeError, match=r"capped view\.log"):
            await up(tmp_path, was_ready=True)._bound_logs()


class StoppedBroker:
    """A broker that seems to run until it is stopped."""

    def __init__(self, stopped: list[str]) -> None:
        self._stopped = stopped

    @property
    def pid(self) -> int | None:
        return None if "broker" in self._stopped else 1

    def stop(self) -> None:
        self._stopped.append("broker")


class StoppedChild(EndedChild):
    """A process that notes when it is stopped."""

    def __init__(self, name: str, stopped: list[str]) -> None:
        super().__init__(Path("none.log"), ExitCode.FAILED)
        self._stopped = stopped
        self.name = name

    async def stop(self, seconds: float) -> int:
        assert seconds > 0, "it has time to end in order"
        self._stopped.append(self.name)
        return 0


async def test_a_stop_without_its_disk_ends_all_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []
    stopped: list[str] = []

    async def save(_: SavedDeadLetters, now_ms: int) -> int:
        assert now_ms > 0
        stopped.append("dead letters saved")
        return 0

    monkeypatch.setattr(SavedDeadLetters, "save", save)
    stopping = supervisor.Supervisor(settings.load(data_dir=tmp_path), 1, printed.append)
    stopping._broker = StoppedBroker(stopped)  # type: ignore[assignment]
    stopping._dead_letters_put_back = True
    for name in ("ingest", "worker", "view"):
        setattr(stopping, f"_{name}", StoppedChild(name, stopped))
    stopping._stop.set()
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", stale)
        await stopping._end()
    assert stopped == ["ingest", "worker", "dead letters saved", "view", "broker"]
    assert printed == ["This stop was not clean: the most recent events may be missing at the next start."]

"""`up`: what it prints about its addresses, and when it goes on without one of its processes."""

import errno
from pathlib import Path

import pytest

from eval_alignment import __version__, settings
from eval_alignment.local import supervisor
from eval_alignment.local.children import Child
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
    view = EndedChild(tmp_path / "gone" / "view.log", OSError(errno.ENOENT, "No such file or directory"))
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
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "broker")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(supervisor.UpError, match=r"No space left on device: 'broker'; check the disk of .*"):
        await up(tmp_path, was_ready=False).run()

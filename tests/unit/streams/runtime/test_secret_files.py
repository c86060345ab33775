"""Files with secrets."""

import os
import stat
from pathlib import Path

import pytest

from streams.runtime.secret_files import (
    FILE_BYTES,
    SECRET_BYTES,
    invalid_secret,
    is_shared,
    read_secret_file,
    warn_of_shared_directory,
)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1), (0o644, 1)])
def test_a_file_that_others_may_read_is_read_with_a_warning(
    mode: int, warned: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"secret-text")
    file.chmod(mode)
    assert read_secret_file(file) == b"secret-text"
    assert [(vars(record)["file"], vars(record)["mode"]) for record in caplog.records] == [
        (str(file), f"{mode:04o}")
    ] * warned
    assert "secret-text" not in caplog.text


@pytest.mark.parametrize(
    ("mode", "owner", "shared"),
    [
        # A mounted Kubernetes secret, and a credential of systemd, whose group bits are those of its access list.
        (stat.S_IFREG | 0o440, 0, False),
        (stat.S_IFREG | 0o444, 0, True),
        (stat.S_IFREG | 0o440, 10001, True),
        (stat.S_IFREG | 0o400, 10001, False),
        # A pipe, such as of `<(...)`.
        (stat.S_IFIFO | 0o666, 10001, False),
    ],
)
def test_the_group_may_read_a_file_that_belongs_to_somebody_else(mode: int, owner: int, shared: bool) -> None:
    status = os.stat_result((mode, 0, 0, 1, owner, 10001, 0, 0, 0, 0))
    assert is_shared(status, 10001) is shared


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"x" * FILE_BYTES)
    assert len(read_secret_file(file)) == FILE_BYTES
    with pytest.raises(ValueError, match="larger than 65,536 bytes"):
        read_secret_file(Path("/dev/zero"))
    with pytest.raises(FileNotFoundError):
        read_secret_file(tmp_path / "none")


@pytest.mark.parametrize("secret", [b"x" * SECRET_BYTES, b"!~", b"whsec_+/="])
def test_printable_secrets_are_valid(secret: bytes) -> None:
    assert invalid_secret(secret) is None


@pytest.mark.parametrize("secret", [b"x" * (SECRET_BYTES + 1), b"a b", b"a\tb", b"a\0", b"a\n", "é".encode(), b"\x7f"])
def test_other_secrets_are_invalid_and_the_reason_does_not_show_them(secret: bytes) -> None:
    reason = invalid_secret(secret)
    assert reason is not None
    assert secret.decode(errors="replace") not in reason


def test_a_directory_whose_files_everybody_may_replace_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for mode in (0o700, 0o755, 0o775):
        tmp_path.chmod(mode)
        warn_of_shared_directory(tmp_path)
    warn_of_shared_directory(tmp_path / "absent")
    assert not caplog.records
    for mode in (0o777, 0o1777):
        tmp_path.chmod(mode)
        warn_of_shared_directory(tmp_path)
    assert [vars(record)["mode"] for record in caplog.records] == ["0777", "1777"]
    assert {vars(record)["directory"] for record in caplog.records} == {str(tmp_path)}

"""What our image does by itself, in a hardened container without network."""

from tools.containers.commands import ContainerError, await_that, note, require
from tools.containers.podman import Podman


def check_image(podman: Podman, image: str) -> int:
    """Check the image; returns the number of checks. Raises ContainerError where one fails."""
    checks = (_starts, _is_not_root, _has_no_setuid_file, _health_fails, _parks)
    for check in checks:
        check(podman, image)
        note(f"ok: {(check.__doc__ or '').rstrip('.')}")
    return len(checks)


def _starts(podman: Podman, image: str) -> None:
    """The image starts with a read-only root and without capabilities."""
    version = podman.run_hardened(image, "--version", options=["--rm"])
    require(version.startswith("eval-alignment, version"), f"the version, not {version}")


def _is_not_root(podman: Podman, image: str) -> None:
    """Its user is not root."""
    user = podman.run_hardened(image, "-u", options=["--rm", "--entrypoint=id"])
    require(user == "10001", f"the user 10001, not {user}")


def _has_no_setuid_file(podman: Podman, image: str) -> None:
    """It has no setuid file, no anonymous volume, and no pip for its processes."""
    find = ("/", "-xdev", "-type", "f", "-perm", "/6000")
    # As root, so that no directory is hidden.
    options = ["--rm", "--entrypoint=find", "--user=0", "--cap-add=dac_read_search"]
    require((files := podman.run_hardened(image, *find, options=options)) == "", f"no setuid file, not {files}")
    volumes = podman("image", "inspect", "--format", "{{len .Config.Volumes}}", image)
    require(volumes == "0", f"no volume in the image, not {volumes}")
    pip = podman.run_hardened(
        image, "/opt/eval-alignment", "-type", "d", "-name", "pip", options=["--rm", "--entrypoint=find"]
    )
    require(pip == "", f"no pip, not {pip}")


def _health_fails(podman: Podman, image: str) -> None:
    """`health` fails where nothing serves."""
    try:
        podman.run_hardened(image, options=["--rm", "--entrypoint=health"])
    except ContainerError:
        return
    raise ContainerError("expected: health fails where nothing serves")


def _parks(podman: Podman, image: str) -> None:
    """A process with wrong settings is parked, and ends by SIGTERM with its exit code."""
    entry = '--entrypoint=["tini", "--", "run-or-park", "eval-alignment"]'
    wrong = "--env=EVAL_ALIGNMENT_PARTITIONS=none"
    container = podman.run_hardened(image, "worker", options=["--detach", wrong, entry])
    try:
        await_that("a message of run-or-park", lambda: "no restart can mend" in podman.log(container))
        podman("stop", "--time=30", container)
        code = podman("inspect", "--format", "{{.State.ExitCode}}", container)
    finally:
        podman("rm", "--force", "--volumes", container)
    require(code == "64", f"exit code 64, not {code}")

"""docs/exit-codes.md: how each command ends."""

from streams.runtime.exit_codes import EVERY, ExitCode
from tools.reference.markdown import document, table

_RESTART = {True: "yes", False: "no", None: ""}


def page() -> str:
    """The page."""
    rows = [
        (
            str(ending.code),
            f"`{ending.name.lower()}`",
            ", ".join(command if command == EVERY else f"`{command}`" for command in ending.commands),
            ending.meaning,
            _RESTART[ending.restart],
            ending.action,
        )
        for ending in sorted(ExitCode, key=lambda ending: ending.code)
    ]
    return document(
        "Exit codes",
        "Scripts and supervisors may rely on these codes. From 64 on, a code has the same meaning for every command.",
        "A worker or view that fails ends immediately, without a last checkpoint, so a broken state is never "
        "committed. `restart` is whether a supervisor should start the process again.",
        table(("code", "name", "command", "meaning", "restart", "what to do"), rows),
        see_also=("[Operations](operations.md)", "[Doctor](doctor.md)", "[Deployment](deployment.md)"),
    )

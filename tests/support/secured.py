"""A secured Apache Kafka: SASL_SSL with SCRAM-SHA-512, and an authorizer that denies by default.

A second, plain listener is for the test itself: its clients are superusers. The certificate is from an authority of
this broker's own, and only for 127.0.0.1: it is not valid for another name.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from eval_alignment.local.broker import HOST
from tests.support.kafka import Kafka, jar_directory
from tests.support.ports import free_port

ADMIN: Final = "admin"
_TOOL_SECONDS: Final = 300.0
_USED = re.compile(
    r"Principal = User:([\w-]+) is Allowed operation = (\w+) .*based on rule MatchingAcl\(acl=StandardAcl\("
    r"resourceType=(\w+), resourceName=([^,]+), patternType=(\w+), principal=[^,]+, host=\*, operation=(\w+),"
)

Rule = tuple[str, str, str, str, str]
"""Principal, operation, kind of resource, its name, and the pattern type: literal or prefixed."""


class SecuredKafka:
    """One broker for SCRAM users; a context manager. `passwords` are by user, and the superuser `admin` is added.

    `bootstrap` is the address of the secured listener, `plain` of the other one. `kafka` is the broker, to stop and
    start it. It logs every decision of the authorizer for `used_rules`, unless it is to run for long (`brief`).
    """

    def __init__(self, directory: Path, passwords: Mapping[str, str], *, brief: bool = True) -> None:
        self.passwords = {**passwords, ADMIN: "of-the-admin"}
        self._port = free_port()
        self.bootstrap = f"{HOST}:{self._port}"
        self.ca = directory / "ca.pem"
        self._directory = directory
        port, controller = free_port(), free_port()
        self.plain = f"{HOST}:{port}"
        listeners = f"PLAINTEXT://{self.plain},SASL_SSL://{self.bootstrap}"
        self.kafka = Kafka(
            port=port,
            controller=controller,
            directory=directory / "kafka",
            brief=brief,
            java=["-Dauthorizer.level=debug"] if brief else [],
            format=[
                word
                for user, password in self.passwords.items()
                for word in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]")
            ],
            properties={
                "listeners": f"{listeners},CONTROLLER://{HOST}:{controller}",
                "advertised.listeners": listeners,
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
                "sasl.enabled.mechanisms": "SCRAM-SHA-512",
                "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                ),
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(directory / "broker.pem"),
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": f"User:ANONYMOUS;User:{ADMIN}",
            },
        )

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        issued = authority.issue_cert(HOST)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        # Java reads keys in this form only.
        own = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        (self._directory / "broker.pem").write_bytes(own + chain)
        self.kafka.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kafka.close()

    def environment(self, user: str) -> dict[str, str]:
        """Settings of a process that is this user; its password is in a file."""
        password = self._directory / f"{user}.password"
        password.write_text(f"{self.passwords[user]}\n")
        return {
            "EVAL_ALIGNMENT_BROKERS": self.bootstrap,
            "EVAL_ALIGNMENT_SECURITY_PROTOCOL": "SASL_SSL",
            "EVAL_ALIGNMENT_SASL_USERNAME": user,
            "EVAL_ALIGNMENT_SASL_PASSWORD_FILE": str(password),
            "EVAL_ALIGNMENT_SSL_CA_FILE": str(self.ca),
        }

    def elsewhere(self) -> str:
        """The secured listener under a name that its certificate does not have."""
        return f"localhost:{self._port}"

    def allow(self, user: str, operation: str, *topics: str, remove: bool = False) -> None:
        """Give a user a right on topics, or take it away."""
        how = "--remove --force" if remove else "--add"
        rule = (
            f"--allow-principal User:{user} --operation {operation} {' '.join(f'--topic {topic}' for topic in topics)}"
        )
        self.run_with_tools(f"kafka-acls.sh --bootstrap-server {self.plain} {how} {rule}", {})

    def run_with_tools(self, script: str, environment: Mapping[str, str]) -> str:
        """Run a shell script with Kafka's `kafka-acls.sh` on its path; fails with its output unless it exits 0."""
        tools = self._directory / "tools"
        tools.mkdir(exist_ok=True)
        tool = tools / "kafka-acls.sh"
        java = f"java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp '{jar_directory()}/*'"
        tool.write_text(f'#!/bin/sh\nexec {java} org.apache.kafka.tools.AclCommand "$@"\n')
        tool.chmod(0o755)
        done = subprocess.run(
            ["sh", "-e", "-c", script],
            env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", **environment},
            cwd=self._directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TOOL_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    def used_rules(self) -> set[Rule]:
        """Every rule by which the authorizer has allowed the operation that the rule names."""
        uses = _USED.findall(self.kafka.log.read_text(errors="replace"))
        # A right to write also allows to describe; that is not a use of it.
        return {(user, rule, *resource) for user, operation, *resource, rule in uses if operation == rule}

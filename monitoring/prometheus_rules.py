"""`python -m monitoring.prometheus_rules`: write the rules as objects of the Prometheus Operator.

Clusters with the operator load rules from objects of the kind PrometheusRule. Each has one file of
`monitoring/prometheus/rules`, with its comments. `make rules` runs this.
"""

from pathlib import Path
from typing import Final

RULES: Final = Path(__file__).with_name("prometheus") / "rules"
TARGET: Final = Path(__file__).parent.parent / "deploy/kubernetes/components/monitoring/rules.yaml"

_OBJECT: Final = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: eval-alignment-{name}
  labels: {{app.kubernetes.io/name: eval-alignment}}
spec:
"""


def prometheus_rules() -> str:
    """The text of the objects, one for each file of rules."""
    objects = [_OBJECT.format(name=path.stem) + _indented(path) for path in sorted(RULES.glob("*.yml"))]
    return "# Made by `make rules` from monitoring/prometheus/rules.\n" + "---\n".join(objects)


def _indented(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return "".join(f"  {line}\n" if line else "\n" for line in lines)


def main() -> None:
    """Write the file."""
    TARGET.write_text(prometheus_rules(), encoding="utf-8")


if __name__ == "__main__":
    main()

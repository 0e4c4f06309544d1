"""The oldest versions that ``pyproject.toml`` allows, as constraints for pip.

``python tests/oldest/constraints.py > oldest.txt; pip install -c oldest.txt '.[test]'`` installs
them. The tools of the extra ``test`` are left alone: a user of the package does not meet them.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)>=(?P<version>[0-9A-Za-z.]+)(?:,<[0-9.]+)?")


def constraints(dependencies: list[str]) -> list[str]:
    """``name==version`` for each dependency ``name>=version``.

    Raises:
        ValueError: if a dependency states no least version.
    """
    found = []
    for dependency in dependencies:
        match = REQUIREMENT.fullmatch(dependency)
        if match is None:
            raise ValueError(f"the dependency '{dependency}' states no least version")
        found.append(f"{match['name']}=={match['version']}")
    return found


if __name__ == "__main__":
    project = tomllib.loads(PROJECT.read_text())["project"]
    sys.stdout.write("\n".join(constraints(project["dependencies"])) + "\n")

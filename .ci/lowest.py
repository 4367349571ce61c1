"""Prints the lowest version that pyproject.toml admits of each dependency, as constraints for pip."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

NOT_INSTALLED = {"benchmarks", "dev", "docs", "spark"}


def main() -> None:
    """One `name==version` a line."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = [
        *project["dependencies"],
        *(text for extra in extras.keys() - NOT_INSTALLED for text in extras[extra]),
    ]
    requirements = [Requirement(text) for text in listed]
    lowest = {
        f"{requirement.name}=={part.version}"
        for requirement in requirements
        if requirement.name != project["name"]
        for part in requirement.specifier
        if part.operator == ">="
    }
    print("\n".join(sorted(lowest)))


if __name__ == "__main__":
    main()

"""Prints the lowest version that pyproject.toml admits of each dependency that users install, as pip constraints."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

USED_BY_USERS = ("async", "parquet", "postgres", "tour")


def main() -> None:
    """One `name==version` a line."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *(text for extra in USED_BY_USERS for text in extras[extra])]:
        requirement = Requirement(text)
        lowest = next(part.version for part in requirement.specifier if part.operator == ">=")
        print(f"{requirement.name}=={lowest}")


if __name__ == "__main__":
    main()

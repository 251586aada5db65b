import re
import tomllib

from tests.project.environment import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(name: str) -> dict[str, str]:
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return dict(split(line) for line in lines if line and not line.startswith("-r "))


def split(requirement: str) -> tuple[str, str]:
    found = re.fullmatch(r"([\w.-]+(?:\[[\w,-]+\])?)(.*)", requirement)
    assert found, requirement
    return found[1], found[2]


def test_the_package_needs_what_the_project_runs_with() -> None:
    runs = requirements("requirements.txt")

    for name, bounds in map(split, PROJECT["dependencies"]):
        assert runs[name] == bounds, name


def test_every_requirement_has_a_lower_and_an_upper_bound() -> None:
    for name, bounds in (requirements("requirements.txt") | requirements("requirements-dev.txt")).items():
        assert re.fullmatch(r">=\d[\d.]*,<\d[\d.]*", bounds), f"{name}{bounds}"

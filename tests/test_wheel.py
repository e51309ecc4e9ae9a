"""What is installed is the package `service` and the command, and nothing that could be in the way of others."""

import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

TOP = Path(__file__).parent.parent


def test_the_wheel_holds_the_package_and_the_command_only(tmp_path: Path) -> None:
    (made,) = WheelBuilder(str(TOP)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(made) as wheel:
        names = wheel.namelist()
        (entries,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
        commands = wheel.read(entries).decode().split()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"service"}
    assert {name.split("/")[0] for name in names if ".dist-info/" in name} == {entries.split("/")[0]}
    assert commands == ["[console_scripts]", "passerelle", "=", "service.__main__:main"]
    packed = {name for name in names if name.startswith("service/")}
    files = {str(file.relative_to(TOP)) for file in (TOP / "service").rglob("*.py")}
    assert files <= packed
    assert [name for name in packed if name.endswith(".pyc") or "/tests/" in name] == []
    assert "service/_migrations/env.py" in packed

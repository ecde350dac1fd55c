# SPDX-License-Identifier: Apache-2.0
"""The fuzzers' package is not built here; what its rooms import must be named in it all the same."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
FUZZ = ROOT / "Tests/Fuzz"


def test_every_target_names_what_its_sources_import():
    manifest = (FUZZ / "Package.swift").read_text()
    targets = re.findall(r'\.(?:executableT|systemLibrary|t)\w*\(\s*name: "([\w-]+)"(.*?)(?=\n {8}\.|\n {4}\])', manifest, re.DOTALL)
    names = {name for name, _ in targets}
    own = {path.name for path in (ROOT / "Sources").iterdir()} | {
        path.name for path in (ROOT / "Sources/CLibraries").iterdir()}
    checked = 0
    for name, rest in targets:
        listed = re.search(r"dependencies: \[(.*?)\]", rest, re.DOTALL)
        dependencies = set(re.findall(r'"(\w+)"', listed[1])) if listed else set()
        excluded = re.search(r"exclude: \[(.*?)\]", rest, re.DOTALL)
        excluded = set(re.findall(r'"([\w.+]+)"', excluded[1])) if excluded else set()
        folder = FUZZ / "Sources" / name
        for file in sorted(folder.rglob("*.swift")):
            if file.name in excluded:
                continue
            imported = set(re.findall(r"^(?:@\w+ )?(?:\w+ )?import (\w+)$", file.read_text(), re.MULTILINE))
            missing = (imported & (own | names)) - dependencies - {name}
            assert not missing, f"{file.relative_to(ROOT)} imports {missing}, which target {name} does not name"
            checked += 1
    assert checked > 50

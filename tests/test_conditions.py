"""The table of conditions of use names tests that exist, and the page shows it."""

from __future__ import annotations

import ast

import pytest
from conditions import CONDITIONS, PAGE, ROOT, table, write


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_every_condition_has_its_test(condition):
    tree = ast.parse((ROOT / "tests" / f"test_{condition.file}.py").read_text(encoding="utf-8"))
    assert f"test_{condition.test}" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_page_shows_the_table_that_the_command_writes(tmp_path):
    assert table(CONDITIONS) in PAGE.read_text(encoding="utf-8")
    copy = tmp_path / "page.md"
    copy.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    write(copy, "new")
    assert table(CONDITIONS) not in copy.read_text(encoding="utf-8")
    write(copy, table(CONDITIONS))
    assert copy.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")

"""The page about demonstrations says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from robostack.cli.data import VERBS
from robostack.data.dataset import Dataset

PAGE = (Path(__file__).resolve().parents[3] / "docs/data.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict = {}
    exec(compile(code, "docs/data.md", "exec"), found)
    assert Dataset(tmp_path / "demos").num_frames == 60
    assert len(found["columns"]["action"]) == 60 and len(list(found["pictures"])) == 60


def test_every_verb_is_named():
    named = set(re.findall(r"robostack data (\w+)", PAGE))
    assert named == set(VERBS)

"""The records in results/ and the page that shows them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RECORDS = [path for path in sorted((ROOT / "results").glob("*.json")) if path.stem != "mutation"]


def test_the_page_shows_what_the_records_say():
    command = [sys.executable, "scripts/results_table.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_the_agreed_shape(path):
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["recipe"] == path.stem.partition("@")[0]
    assert {"data", "metrics", "seeds", "commit", "hardware", "seconds", "command"} <= set(record)
    assert "/tmp" not in record["command"]
    for name, figure in record["metrics"].items():
        assert figure["sign"] in ("=", ">=", "<=", "~"), name
        assert isinstance(figure["value"], float), name
        assert ("published" in figure) <= ("source" in figure), name

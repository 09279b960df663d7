"""The tests' own guard: it sees a task that died unseen, a callback that raised, a coroutine that nobody awaited."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HEAD = "import asyncio\nasync def fails():\n    raise ValueError('unseen')\n"
CASES = {
    "a task": "async def test():\n    task = asyncio.create_task(fails())\n    await asyncio.sleep(0)\n    del task\n",
    "a callback": "async def test():\n    asyncio.get_running_loop().call_soon(lambda: 1 / 0)\n    await asyncio.sleep(0)\n",
    "a loop of its own": "def test():\n    async def main():\n        asyncio.get_running_loop().call_soon(lambda: 1 / 0)\n        await asyncio.sleep(0)\n    asyncio.run(main())\n",
    "never awaited": "async def test():\n    fails()\n",
}


def test_it_fails_what_comes_loose_and_lets_what_is_handled_pass(tmp_path: Path) -> None:
    for name, text in CASES.items():
        (tmp_path / f"test_{name.replace(' ', '_')}.py").write_text(HEAD + text)
    (tmp_path / "test_handled.py").write_text(
        HEAD + "async def test():\n    assert await asyncio.gather(fails(), return_exceptions=True)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.guard", "-c", "pyproject.toml", "--rootdir", str(tmp_path), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    bad = set(re.findall(r"^(?:FAILED|ERROR) .*test_(\w+)\.py", ran.stdout, re.MULTILINE))
    assert bad == {name.replace(" ", "_") for name in CASES}, ran.stdout + ran.stderr

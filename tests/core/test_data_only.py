"""Stored bytes are data: whatever they name, reading them imports nothing and runs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.promise("data-only")

READ = """
import sys
from typing import Any

import msgpack

import checkpoint
from checkpoint._document.codec import DecodeError, decode, encode


class Box(checkpoint.AgentState, schema="box", version=1):
    content: Any = None


KEYS = ["__class__", "__module__", "__reduce__", "__type__", "py/object", "$type", "class"]
RUNS = {"import", "exec", "compile", "pickle.find_class", "os.system", "os.exec", "os.posix_spawn",
        "subprocess.Popen", "ctypes.dlopen"}


def documents(name):
    yield name
    yield [name]
    yield [name, name]
    yield [name, [name, {}]]
    for key in KEYS:
        yield {key: name}
        yield {key: [name, [], {}], "state": {name: name}}


def read(*names):
    for number, name in enumerate(names):
        for code in range(128):
            for document in documents(name):
                try:
                    decode(msgpack.packb(msgpack.ExtType(code, encode(document))))
                except DecodeError:
                    pass
        for model in (None, Box):
            with checkpoint.open("memory://", model, cache_bytes=0) as cp:
                for place, content in enumerate(documents(name)):
                    session = f"{number}-{place}"
                    state = {"content": content} if model is None else Box(content=content)
                    cp.save(session, state)
                    assert cp.restore(session).state == state


read("nothing")  # what our own code imports where it is first used
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args[0])) if event in RUNS else None)
read("antigravity", "antigravity.geohash", "os:system", "builtins.eval", "__main__:boom",
     "__import__('antigravity')", "cos\\nsystem\\n(S'false'\\ntR.")
# A time zone is looked for among the files of the system and of the package tzdata, nowhere else.
print([event for event in seen if not str(event[1]).startswith("tzdata")])
import colorsys
print(seen != [])
"""


def test_no_stored_bytes_make_a_reader_import_or_run_what_they_name() -> None:
    command = [sys.executable, "-c", READ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "True"], "the second: the hook does hear of imports"

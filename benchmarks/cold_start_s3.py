"""How long a fresh process takes to have an agent back from S3, against one that does one get.

    python benchmarks/cold_start_s3.py [--rounds 15] [--messages 100] [--json]

As ``cold_start.py``, with a server of S3 on this machine in the place of a SQLite file (ministack,
from the packages for tests). For each client, one process imports it and pydantic, defines the
model, gets the agent's JSON and validates it; another restores the agent with this library through
the same client.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from string import Template

from cold_start import BARE, MODEL, PLAIN, STATE, TARGET, added, python, sample, tell
from s3_server import REGION, served
from session_size import generated_turns

IMPORTS = """
import time
marks = [time.monotonic_ns()]
"""
DONE = """
marks.append(time.monotonic_ns())
print(marks if len(agent.memory) == $messages else [])
"""
BY_BOTO3 = """
import boto3
from pydantic import BaseModel
$model
marks.append(time.monotonic_ns())
client = boto3.client("s3", endpoint_url="$endpoint", region_name="$region")
marks.append(time.monotonic_ns())
found = client.get_object(Bucket="$bucket", Key="plain.json")["Body"].read()
agent = Agent.model_validate_json(found)
"""
BY_OBSTORE = """
import obstore
from obstore.store import S3Store
from pydantic import BaseModel
$model
marks.append(time.monotonic_ns())
client = S3Store(
    "$bucket", endpoint="$endpoint", region="$region", client_options={"allow_http": True}
)
marks.append(time.monotonic_ns())
found = bytes(obstore.get(client, "plain.json").bytes())
agent = Agent.model_validate_json(found)
"""
OURS = """
import checkpoint
from checkpoint import AgentState, Memory
from pydantic import BaseModel
$model
marks.append(time.monotonic_ns())
cp = checkpoint.open("s3://$bucket?endpoint_url=$endpoint&region=$region$transport", Agent)
marks.append(time.monotonic_ns())
agent = cp.restore("user-42").state
"""
PREPARE = """
import json, sys
import boto3
import checkpoint
from checkpoint import AgentState, Memory
from pydantic import BaseModel
$model
with checkpoint.open("s3://$bucket?endpoint_url=$endpoint&region=$region", Agent) as cp:
    for said in json.load(sys.stdin):
        with cp.turn("user-42") as turn:
            turn.state.memory.extend(Message(**message) for message in said)
client = boto3.client("s3", endpoint_url="$endpoint", region_name="$region")
client.put_object(Bucket="$bucket", Key="plain.json", Body=turn.state.model_dump_json().encode())
"""

PARTS = ["start", "imports, model", "client", "get"]
STAGES = {
    "python alone": ["start"],
    "pydantic + boto3": PARTS,
    "checkpoint, boto3": PARTS,
    "pydantic + obstore": PARTS,
    "checkpoint, obstore": PARTS,
}
SCRIPTS = {
    "python alone": (BARE, PLAIN, ""),
    "pydantic + boto3": (IMPORTS + BY_BOTO3 + DONE, PLAIN, ""),
    "checkpoint, boto3": (IMPORTS + OURS + DONE, STATE, ""),
    "pydantic + obstore": (IMPORTS + BY_OBSTORE + DONE, PLAIN, ""),
    "checkpoint, obstore": (IMPORTS + OURS + DONE, STATE, "&transport=obstore"),
    "prepare": (PREPARE, STATE, ""),
}


def prepare(directory: Path, endpoint: str, bucket: str, messages: int) -> None:
    """Write the scripts, and put the agent into the bucket, both ways."""
    given = {"endpoint": endpoint, "region": REGION, "bucket": bucket, "messages": messages}
    for name, (text, model, transport) in SCRIPTS.items():
        script = Template(text.replace("$model", MODEL))
        (directory / f"{name}.py").write_text(
            script.substitute(model, **given, transport=transport), encoding="utf-8"
        )
    turns = generated_turns(seed=1, count=messages // 2)
    python(directory, "prepare.py", given=json.dumps(turns))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--messages", type=int, default=100, help="an even number")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, served() as server:
        os.environ |= server.environment
        directory = Path(name)
        prepare(directory, server.endpoint, server.new_bucket(), options.messages)
        samples = sample(directory, STAGES, options.rounds)
    by = {client: (f"pydantic + {client}", f"checkpoint, {client}") for client in CLIENTS}
    more = {client: added(samples, *pair) for client, pair in by.items()}
    if options.json:
        print(json.dumps({"samples": samples, "added": more}))
        return 0
    tell(samples, STAGES, options.messages)
    for client, took in more.items():
        print(f"over one get with {client}: {took:+.1f} ms (target: at most {TARGET})")
    less = -added(samples, "checkpoint, boto3", "checkpoint, obstore")
    print(f"with obstore, {less:.1f} ms less than with boto3")
    return 0


CLIENTS = ("boto3", "obstore")


if __name__ == "__main__":
    sys.exit(main())

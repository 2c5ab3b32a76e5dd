"""What an S3 store is given: URLs, clients, sessions; and what it loads, and shares with a fork."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import boto3
import botocore.session
import pytest

import checkpoint
from checkpoint.errors import CheckpointError, InvalidOption
from checkpoint_objectstore import _s3_settings as s3_settings
from checkpoint_objectstore import _s3_url as s3_url
from checkpoint_objectstore.s3 import S3Objects, objects_of
from tests.proxy import Proxy
from tests.servers import ACCESS_KEY, REGION, S3_ENVIRONMENT, SECRET_KEY, S3Server

# --- URLs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "objects"),
    [
        ("s3://agents", "S3Objects('agents', '')"),
        ("s3://agents/", "S3Objects('agents', '')"),
        ("s3://agents/prod", "S3Objects('agents', 'prod')"),
        ("s3://agents/prod/eu/", "S3Objects('agents', 'prod/eu')"),
        ("s3://agents/a%20b%C3%A9?region=eu-west-1", "S3Objects('agents', 'a bé')"),
        ("s3://my.agents-1/p?endpoint_url=http://localhost:9000", "S3Objects('my.agents-1', 'p')"),
        ("s3://agents?path_style=true&timeout=1.5&kms_key_id=k", "S3Objects('agents', '')"),
    ],
)
def test_a_url_names_a_bucket_and_a_prefix(url: str, objects: str) -> None:
    assert repr(objects_of(url)) == objects


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("s3://", "no valid bucket name"),
        ("s3:///prefix", "no valid bucket name"),
        ("s3://a", "no valid bucket name"),
        ("s3://-agents-/p", "no valid bucket name"),
        ("s3://agents:9000/p", "no valid bucket name"),
        ("s3://key:hunter2@agents/p", "contains credentials"),
        ("s3://agents/a//b", "an empty part"),
        ("s3://agents/../b", "an empty part"),
        ("s3://agents/a%00b", "control characters"),
        ("s3://agents/" + "é" * 151, "300 bytes"),
        ("s3://agents?regoin=x", "unknown parameter 'regoin'.*endpoint_url.*kms_key_id.*timeout"),
        ("s3://agents?secret_key=hunter2", "unknown parameter 'secret_key'"),
        ("s3://agents?region=", "empty parameter 'region'"),
        ("s3://agents?path_style=yes", "true or false"),
        ("s3://agents?timeout=soon", "number of seconds"),
        ("s3://agents?timeout=-1", "number of seconds"),
        ("s3://agents?timeout=0", "above 0"),
        ("s3://agents?endpoint_url=localhost:9000", "http"),
        ("s3://agents?endpoint_url=http://key:hunter2@localhost", "without credentials"),
    ],
)
def test_a_url_that_means_nothing_is_refused(url: str, hint: str) -> None:
    with pytest.raises(InvalidOption, match=hint) as raised:
        checkpoint.open(url)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("region", ["nowhere.at.all/", "EU WEST"])
def test_a_region_that_cannot_be_one_is_refused_by_the_first_call(
    region: str, s3_environment: None
) -> None:
    with pytest.raises(CheckpointError, match="'agents'") as raised:
        objects_of(f"s3://agents?region={region}").get("a")
    assert isinstance(raised.value, InvalidOption)


def test_the_parameters_of_a_url_reach_the_client(s3_environment: None) -> None:
    url = "s3://agents?endpoint_url=http://localhost:9000&region=eu-west-3&path_style=false"
    objects = objects_of(f"{url}&timeout=2.5")
    client = objects._clients.client()
    assert client.meta.endpoint_url == "http://localhost:9000"
    assert client.meta.region_name == "eu-west-3"
    assert client.meta.config.s3 == {"addressing_style": "virtual"}
    assert client.meta.config.read_timeout == client.meta.config.connect_timeout == 2.5
    assert client.meta.config.retries["mode"] == "standard"
    assert client.meta.config.max_pool_connections >= 16
    assert objects._clients.client() is client


@pytest.mark.slow
def test_objects_are_encrypted_by_the_key_that_a_url_names(
    moto: S3Server, s3_environment: None
) -> None:
    client = moto.client()
    bucket = moto.new_bucket()
    objects = objects_of(moto.url(bucket) + "&kms_key_id=my-key")
    objects.create("a", b"1")
    objects.put_many({"b": b"1"})
    for key in "ab":
        told = client.head_object(Bucket=bucket, Key=key)
        assert (told["ServerSideEncryption"], told["SSEKMSKeyId"]) == ("aws:kms", "my-key")
    objects.close()


# --- clients and sessions ------------------------------------------------------------------------


def test_a_client_of_boto3_is_used_as_it_is(ministack: S3Server) -> None:
    client = ministack.client()
    bucket = ministack.new_bucket()
    objects = S3Objects(bucket, client=client)
    objects.create("a", b"1")
    objects.close()
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"1"


def _boto3() -> Any:
    return boto3.Session(ACCESS_KEY, SECRET_KEY, region_name=REGION)


def _botocore() -> Any:
    session = botocore.session.get_session()
    session.set_credentials(ACCESS_KEY, SECRET_KEY)
    return session


@pytest.mark.parametrize("make", [_boto3, _botocore])
def test_a_session_makes_the_client(ministack: S3Server, make: Any) -> None:
    objects = S3Objects(
        ministack.new_bucket(), session=make(), endpoint_url=ministack.endpoint_url, region=REGION
    )
    assert objects.create("a", b"1")
    objects.close()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"client": "s3"}, "client of boto3"),
        ({"client": _boto3, "session": _boto3}, "cannot be combined"),
        ({"client": _boto3, "region": "eu-west-1"}, "cannot be combined"),
        ({"session": "s3"}, "session of boto3"),
        ({"session": _boto3, "profile": "prod"}, "cannot be combined with a profile"),
        ({"timeout": -1.0}, "above 0"),
        ({"timeout": float("nan")}, "above 0"),
        ({"endpoint_url": "localhost"}, "http"),
    ],
)
def test_what_cannot_be_used_is_refused(arguments: dict[str, Any], hint: str) -> None:
    given = {name: value() if callable(value) else value for name, value in arguments.items()}
    with pytest.raises(InvalidOption, match=hint):
        S3Objects("agents", **given)


def test_a_bucket_is_named_by_an_access_point_too() -> None:
    S3Objects("arn:aws:s3:eu-west-1:123456789012:accesspoint/agents")
    with pytest.raises(InvalidOption, match="not a valid bucket name"):
        S3Objects("agents/prod")


# --- processes -----------------------------------------------------------------------------------


def run(code: str, *arguments: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **S3_ENVIRONMENT},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_turn_on_s3_loads_no_boto3_and_nothing_heavy(ministack: S3Server) -> None:
    code = """
import sys
import checkpoint
heavy = {"boto3", "s3transfer", "asyncio", "sqlalchemy", "sqlite3"}
assert "botocore" not in sys.modules
with checkpoint.open(sys.argv[1]) as cp:
    with cp.turn("user-42") as turn:
        turn.state["n"] = 1
print(*sorted(heavy & set(sys.modules)))
"""
    assert run(code, ministack.url(ministack.new_bucket())) == ""


def test_preload_imports_the_driver(s3_environment: None) -> None:
    code = """
import sys
import checkpoint
checkpoint.preload("s3://agents")
print("botocore.session" in sys.modules)
"""
    assert run(code) == "True"


def test_preload_asks_nobody_for_credentials() -> None:
    """Such as the metadata service of a machine, which takes its time to be absent."""
    code = """
import socket
import checkpoint
def refuse(*arguments, **named):
    raise AssertionError("connected")
socket.socket.connect = socket.create_connection = refuse
checkpoint.preload("s3://agents")
"""
    assert run(code) == ""


def test_preload_tells_of_files_that_cannot_be_used(s3_environment: None) -> None:
    code = """
import os
os.environ["AWS_PROFILE"] = "nobody"
import checkpoint
try:
    checkpoint.preload("s3://agents")
except checkpoint.InvalidOption as exc:
    print(exc)
"""
    assert "nobody" in run(code)


def test_without_boto3_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["botocore"] = None
import checkpoint
try:
    checkpoint.open("s3://agents")
except checkpoint.UnknownStore as exc:
    print(exc)
"""
    assert "pip install 'agent-checkpoint[s3]'" in run(code)


FORKING = """
import os, sys
import botocore.session
from checkpoint_objectstore.s3 import S3Objects

def in_child(call):
    child = os.fork()
    if child == 0:
        call()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

bucket, url, given = sys.argv[1:]
more = {"endpoint_url": url, "region": "us-east-1"}
if given:
    more = {"client": botocore.session.get_session().create_client("s3", **{
        "endpoint_url": url, "region_name": "us-east-1"})}
objects = S3Objects(bucket, **more)
"""


@pytest.mark.parametrize("given", ["", "client"])
def test_a_forked_child_has_connections_of_its_own(ministack: S3Server, given: str) -> None:
    code = """
def use():
    for _ in range(2):
        assert objects.get("a").data == b"1"

assert objects.create("a", b"1")
use()
in_child(use)
use()
"""
    with Proxy(ministack.endpoint_url) as proxy:
        run(FORKING + code, ministack.new_bucket(), proxy.url, given)
        assert (proxy.count("GET"), proxy.connections) == (6, 2)


@pytest.mark.parametrize("given", ["", "client"])
def test_a_forked_child_has_threads_of_its_own(ministack: S3Server, given: str) -> None:
    code = """
def use():
    assert objects.get_many(["a", "b", "c"]) == {"a": b"1", "b": b"2"}

objects.put_many({"a": b"1", "b": b"2"})
use()
in_child(use)
use()
"""
    run(FORKING + code, ministack.new_bucket(), ministack.endpoint_url, given)


def test_a_save_as_the_interpreter_ends_writes_its_objects(ministack: S3Server) -> None:
    code = """
import atexit, sys
from checkpoint_objectstore.s3 import S3Objects
objects = S3Objects(sys.argv[1], endpoint_url=sys.argv[2], region="us-east-1")
objects.put_many({"a": b"1", "b": b"1"})
atexit.register(lambda: objects.put_many({"c": b"1", "d": b"1"}))
"""
    bucket = ministack.new_bucket()
    run(code, bucket, ministack.endpoint_url)
    found = ministack.client().list_objects_v2(Bucket=bucket)["Contents"]
    assert [item["Key"] for item in found] == ["a", "b", "c", "d"]


def test_the_options_told_are_those_there_are() -> None:
    arguments = set(S3Objects.__init__.__annotations__) - {"return", "bucket", "prefix"}
    assert arguments - {"client", "session"} | {"transport"} == set(s3_settings.OPTIONS)
    assert all(f"``{name}``" in (s3_url.open_store.__doc__ or "") for name in s3_settings.OPTIONS)

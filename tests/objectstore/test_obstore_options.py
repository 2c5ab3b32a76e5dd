"""What a store through obstore is given, what it loads, and that it shares a bucket with boto3."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from obstore import exceptions

import checkpoint
from checkpoint._stores.registry import open_async_store, open_store
from checkpoint.errors import InvalidOption, StoreDenied, StoreError, StoreUnavailable
from checkpoint_objectstore._async.store import AsyncObjectStore
from checkpoint_objectstore._sync.store import ObjectStore
from checkpoint_objectstore.objects import Object, Objects
from checkpoint_objectstore.obstore import AsyncObstoreObjects, ObstoreObjects
from checkpoint_objectstore.s3 import S3Objects
from tests.objectstore.transports import without_pauses
from tests.proxy import Fault, Proxy, Request, answer
from tests.servers import ACCESS_KEY, REGION, S3_ENVIRONMENT, SECRET_KEY, S3Server, free_port


@pytest.fixture
def proxy(ministack: S3Server) -> Iterator[Proxy]:
    with Proxy(ministack.endpoint_url) as proxy:
        yield proxy


def given(*arguments: Any, **named: Any) -> ObstoreObjects:
    return ObstoreObjects(*arguments, region=REGION, **named)


# --- URLs ----------------------------------------------------------------------------------------


def test_a_url_opens_either_form_natively() -> None:
    url = "s3://agents/prod?region=eu-west-1&timeout=5&transport=obstore"
    blocking, asynchronous = open_store(url), open_async_store(url)
    assert type(blocking) is ObjectStore
    assert type(asynchronous) is AsyncObjectStore
    assert repr(blocking) == "ObjectStore(ObstoreObjects('agents', 'prod'))"
    assert repr(asynchronous) == "AsyncObjectStore(AsyncObstoreObjects('agents', 'prod'))"


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("transport=rust", "boto3 or obstore"),
        ("transport=obstore&profile=prod", "does not support profiles.*credential_provider"),
        ("transport=obstore&region=EU%20WEST", "is not a region"),
        ("transport=obstore&timeout=0", "above 0"),
        ("transport=obstore&endpoint_url=localhost", "http"),
        ("transport=obstore&secret_key=hunter2", "unknown parameter"),
    ],
)
def test_a_url_that_obstore_cannot_honour_is_refused(query: str, hint: str) -> None:
    for opened in (open_store, open_async_store):
        with pytest.raises(InvalidOption, match=hint) as raised:
            opened(f"s3://agents?{query}")
        assert "hunter2" not in str(raised.value)


def test_arguments_that_obstore_cannot_honour_are_refused() -> None:
    with pytest.raises(InvalidOption, match="ARN"):
        ObstoreObjects("arn:aws:s3:eu-west-1:123456789012:accesspoint/agents")
    with pytest.raises(InvalidOption, match="function"):
        ObstoreObjects("agents", credential_provider="prod")  # type: ignore[arg-type]


def test_objects_are_encrypted_by_the_key_that_a_url_names(
    ministack: S3Server, proxy: Proxy, s3_environment: None
) -> None:
    url = ministack.url(ministack.new_bucket(), endpoint_url=proxy.url)
    with checkpoint.open(f"{url}&kms_key_id=my-key&transport=obstore") as cp:
        cp.save("user-42", {"n": 1})
    writes = [request.headers for request in proxy.requests if request.method == "PUT"]
    assert len(writes) > 1
    for headers in writes:
        assert headers["x-amz-server-side-encryption"] == "aws:kms"
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "my-key"


@pytest.mark.parametrize(
    ("bucket", "endpoint_url", "path_style", "expected"),
    [
        ("agents", None, None, (None, False)),
        ("my.agents", None, None, (None, True)),  # no certificate would fit the host
        ("agents", None, True, (None, True)),
        ("agents", "http://localhost:9000/", None, ("http://localhost:9000", True)),
        ("agents", "http://localhost:9000", False, ("http://agents.localhost:9000", False)),
    ],
)
def test_where_a_bucket_is_named(
    bucket: str,
    endpoint_url: str | None,
    path_style: bool | None,
    expected: object,
    s3_environment: None,
) -> None:
    objects = ObstoreObjects(bucket, endpoint_url=endpoint_url, path_style=path_style)
    assert objects._clients._endpoint() == expected


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_may_come_from_the_environment(
    ministack: S3Server, s3_environment: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, ministack.endpoint_url)
    objects = given(ministack.new_bucket())
    assert objects.create("a", b"1")
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    elsewhere = given(ministack.new_bucket(), endpoint_url=ministack.endpoint_url)
    assert elsewhere.create("a", b"1")  # what is given goes before


def test_the_environment_cannot_switch_conditions_off(
    ministack: S3Server, s3_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    objects = given(ministack.new_bucket(), endpoint_url=ministack.endpoint_url)
    tag = objects.create("a", b"1") or ""
    assert objects.create("a", b"2") is None
    assert objects.replace("a", b"2", tag)


# --- credentials ---------------------------------------------------------------------------------


def test_where_no_credentials_are_found_the_places_are_told(
    proxy: Proxy, s3_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pauses(monkeypatch)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreDenied, match=r"no usable credentials.*AWS_ACCESS_KEY_ID.*profiles"):
        given("agents", endpoint_url=proxy.url).get("a")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    with pytest.raises(StoreDenied, match="Missing SecretAccessKey"):
        given("agents", endpoint_url=proxy.url).get("a")
    assert proxy.requests == []


@pytest.mark.parametrize("status", [404, 412, 304])
def test_an_answer_of_who_gives_credentials_is_none_of_the_bucket(
    proxy: Proxy, s3_environment: None, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", proxy.url)
    proxy.decide = lambda request: answer(status, "NoSuchKey")
    objects = given("agents", endpoint_url=f"http://127.0.0.1:{free_port()}")
    for call in (
        lambda: objects.get("a"),
        lambda: objects.get("a", unless='"x"'),
        lambda: objects.create("a", b"1"),
        lambda: objects.replace("a", b"1", '"x"'),
    ):
        with pytest.raises(StoreDenied, match="no usable credentials"):
            call()
    assert {request.method for request in proxy.requests} == {"PUT"}


def test_credentials_may_come_from_a_function(
    ministack: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def provide() -> dict[str, object]:
        calls.append(1)
        return {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY, "expires_at": None}

    def refuse() -> dict[str, object]:
        raise RuntimeError("not today")

    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    where: dict[str, Any] = {"endpoint_url": ministack.endpoint_url, "region": REGION}
    bucket = ministack.new_bucket()
    assert ObstoreObjects(bucket, credential_provider=provide, **where).create("a", b"1")
    assert calls

    async def read() -> Object | None:
        return await AsyncObstoreObjects(bucket, credential_provider=provide, **where).get("a")

    found = asyncio.run(read())
    assert found is not None
    with pytest.raises(StoreDenied, match="not today"):
        ObstoreObjects(bucket, credential_provider=refuse, **where).get("a")


# --- the same bucket through both ----------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "prod", "a b/é/😀", "100%/%41", "a+b&c=d;e,f", "~!*'()"])
def test_both_transports_mean_the_same_objects(
    ministack: S3Server, s3_environment: None, prefix: str
) -> None:
    bucket = ministack.new_bucket()
    place: dict[str, Any] = {"endpoint_url": ministack.endpoint_url, "region": REGION}
    one, other = ObstoreObjects(bucket, prefix, **place), S3Objects(bucket, prefix, **place)
    keys = ["m!/~c3~a9!/head", "n!/a-20b!/head", "n!/a-20b!/pages/1", "n!/c=3d!/id", "o!/x"]
    for n, key in enumerate(keys):
        first, second = (one, other) if n % 2 else (other, one)
        tag = first.create(key, key.encode())
        assert second.get(key) == Object(key.encode(), tag or "")
        assert second.replace(key, b"new", tag or "")
    for objects in (one, other):
        assert [entry.key for entry in objects.list("")] == keys
        assert list(objects.folders("n!/", "")) == ["a-20b!", "c=3d!"]
    one.delete(keys[:2])
    assert [entry.key for entry in other.list("")] == keys[2:]
    other.close()


def test_what_others_keep_beside_the_prefix_does_not_matter(
    ministack: S3Server, s3_environment: None
) -> None:
    """Keys with empty parts cannot be told by obstore; a folder's marker is no object of ours."""
    bucket, client = ministack.new_bucket(), ministack.client()
    for key in ("prod/", "prod2/a", "pro", "a//b", "prod/n!/", "prod/n!/a!/head"):
        client.put_object(Bucket=bucket, Key=key, Body=b"")
    objects = given(bucket, "prod", endpoint_url=ministack.endpoint_url)
    assert [entry.key for entry in objects.list("n!/")] == ["n!/a!/head"]
    assert objects.folders("n!/", "") == ["a!"]
    with pytest.raises(StoreError, match="a//b"):
        given(bucket, endpoint_url=ministack.endpoint_url).list("")
    client.close()


def test_folders_with_many_objects_are_passed_over(proxy: Proxy, s3_environment: None) -> None:
    bucket = "many-objects"
    objects = given(bucket, endpoint_url=proxy.url)
    _create_bucket(proxy, bucket)
    objects._page = 10
    objects.put_many({f"n!/{name}!/{n:03}": b"" for name in "abc" for n in range(200)})
    proxy.forget()
    found: list[str] = []
    while names := objects.folders("n!/", "", found[-1] if found else ""):
        found += names
    assert found == ["a!", "b!", "c!"]
    assert len(proxy.requests) == 4


def _create_bucket(proxy: Proxy, bucket: str) -> None:
    server = S3Server("proxied", proxy.url)
    client = server.client()
    client.create_bucket(Bucket=bucket)
    client.close()
    proxy.forget()


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


TURN = """
import sys
import checkpoint
with checkpoint.open(sys.argv[1]) as cp:
    with cp.turn("user-42") as turn:
        turn.state["n"] = 1
print(*sorted({"boto3", "botocore", "obstore", "asyncio"} & set(sys.modules)))
"""


def test_each_transport_loads_its_own_client_only(ministack: S3Server) -> None:
    url = ministack.url(ministack.new_bucket())
    assert run(TURN, url) == "botocore"
    assert "boto" not in run(TURN, f"{url}&transport=obstore")


def test_preload_imports_the_driver() -> None:
    code = "import checkpoint, sys; checkpoint.preload('s3://a-b?transport=obstore')"
    assert run(f"{code}; print('obstore' in sys.modules)") == "True"


def test_without_obstore_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["obstore"] = None
import checkpoint
for opened in (checkpoint.open, checkpoint.open_async):
    try:
        opened("s3://agents?transport=obstore")
    except checkpoint.UnknownStore as exc:
        print(exc)
"""
    assert run(code).count("pip install 'agent-checkpoint[obstore]'") == 2


FORKED = """
import asyncio, os, signal, sys
from checkpoint.errors import StoreError
from checkpoint_objectstore.obstore import AsyncObstoreObjects, ObstoreObjects
bucket, url, used = sys.argv[1:]
objects = ObstoreObjects(bucket, endpoint_url=url, region="us-east-1")
if used:
    objects.create("a", b"1")
child = os.fork()
if child:
    status = os.waitpid(child, 0)[1]
    objects.put_many({"b": b"2", "c": b"3"})
    print(status, objects.get_many(["a", "b", "c"]))
else:
    signal.alarm(20)
    told = []
    fresh = AsyncObstoreObjects(bucket, endpoint_url=url, region="us-east-1")
    for call in (
        lambda: objects.create("a", b"1"),
        lambda: objects.put_many({"b": b"1", "c": b"1"}),
        lambda: objects.get_many(["a", "b"]),
        lambda: objects.list(""),
        lambda: asyncio.run(fresh.get("a")),
    ):
        try:
            told.append(bool(call()))
        except StoreError as exc:
            assert "spawn" in str(exc)
            told.append(type(exc).__name__)
    print(*told, flush=True)
    os._exit(0)
"""


def test_a_forked_child_is_told_that_obstore_does_not_work_in_it(ministack: S3Server) -> None:
    """Its threads stay behind; every call would wait for them for ever."""
    child, parent = run(FORKED, ministack.new_bucket(), ministack.endpoint_url, "yes").splitlines()
    assert child == " ".join(["StoreError"] * 5)
    assert parent == "0 {'a': b'1', 'b': b'2', 'c': b'3'}"


def test_a_child_that_was_forked_before_the_first_call_works(ministack: S3Server) -> None:
    child, parent = run(FORKED, ministack.new_bucket(), ministack.endpoint_url, "").splitlines()
    assert child == "True False True True True"
    assert parent == "0 {'a': b'1', 'b': b'2', 'c': b'3'}"


# --- asynchronous --------------------------------------------------------------------------------


def test_an_asynchronous_save_whose_answer_is_lost_is_saved_once(
    ministack: S3Server, proxy: Proxy, s3_environment: None
) -> None:
    url = ministack.url(ministack.new_bucket(), "prod", proxy.url) + "&transport=obstore"

    def decide(request: Request) -> Fault | None:
        lost = request.method == "PUT" and request.key.endswith("/head") and request.attempt == 1
        return Fault(lose=True) if lost else None

    async def turns() -> int:
        async with checkpoint.open_async(url) as cp:
            for n in range(3):
                proxy.decide = decide
                async with cp.turn("user-42") as turn:
                    turn.state.setdefault("seen", []).append(n)
            return turn.revision

    assert asyncio.run(turns()) == 3
    proxy.decide = lambda request: None
    with checkpoint.open(url) as cp:
        assert cp.restore("user-42").state == {"seen": [0, 1, 2]}


def test_an_asynchronous_turn_is_one_get_and_one_put(
    ministack: S3Server, proxy: Proxy, s3_environment: None
) -> None:
    url = ministack.url(ministack.new_bucket(), "prod", proxy.url) + "&transport=obstore"

    async def turns() -> list[list[str]]:
        seen = []
        async with checkpoint.open_async(url) as cp:
            for _ in range(3):
                proxy.forget()
                async with cp.turn("user-42") as turn:
                    turn.state["n"] = turn.state.get("n", 0) + 1
                seen.append([request.method for request in proxy.requests])
        return seen

    assert asyncio.run(turns())[1:] == [["GET", "PUT"]] * 2


def test_a_cancelled_call_ends_at_once_and_leaves_the_objects_of_use(
    proxy: Proxy, s3_environment: None
) -> None:
    bucket = "cancelled-call"
    _create_bucket(proxy, bucket)
    forward = threading.Event()

    def held(request: Request) -> None:
        assert request.method != "PUT" or forward.wait(60), "nobody let it go"

    async def cancel() -> Object:
        objects = AsyncObstoreObjects(bucket, endpoint_url=proxy.url, region=REGION)
        proxy.decide = held
        task = asyncio.create_task(objects.create("a", b"1"))
        while not proxy.count("PUT"):
            await asyncio.sleep(0.01)
        proxy.forget()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await objects.get("a") is None  # it was not forwarded yet
        forward.set()
        while (found := await objects.get("a")) is None:
            await asyncio.sleep(0.01)
        return found

    assert asyncio.run(cancel()).data == b"1"


def test_the_two_forms_are_objects() -> None:
    blocking: Objects = ObstoreObjects("agents")
    assert repr(blocking) == "ObstoreObjects('agents', '')"


# --- what obstore says ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raised",
    [
        exceptions.AlreadyExistsError("Object at location p/a already exists"),
        exceptions.PreconditionError("Request precondition failure for path p/a: 412"),
        exceptions.NotModifiedError("Object at location p/a not modified"),
        FileNotFoundError("Object at location p/a not found"),
        exceptions.GenericError("something new"),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_a_text_that_is_not_understood_is_an_outage(
    monkeypatch: pytest.MonkeyPatch, s3_environment: None, raised: Exception
) -> None:
    """Of another version of obstore, say: never an absence, never a lost race."""
    without_pauses(monkeypatch)

    def fail(*arguments: Any, **named: Any) -> None:
        raise raised

    monkeypatch.setattr("obstore.get", fail)
    monkeypatch.setattr("obstore.put", fail)
    objects = given("agents")
    for call in (
        lambda: objects.get("a"),
        lambda: objects.get("a", unless='"x"'),
        lambda: objects.get_many(["a"]),
        lambda: objects.create("a", b"1"),
        lambda: objects.replace("a", b"1", '"x"'),
    ):
        with pytest.raises(StoreUnavailable) as told:
            call()
        assert told.value.__cause__ is raised

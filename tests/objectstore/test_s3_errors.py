"""What goes wrong between S3 and its drivers: typed errors, each after a known number of requests.

Absence is never one of the answers.
"""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import CredentialRetrievalError

import checkpoint
from checkpoint.errors import (
    CheckpointError,
    InvalidOption,
    NotAStore,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreUnsafe,
)
from checkpoint_objectstore._sync.store import ObjectStore
from checkpoint_objectstore.objects import Object, Objects
from checkpoint_objectstore.s3 import S3Objects
from tests.objectstore.transports import DRIVERS, without_pauses
from tests.proxy import LOSE_REPLY, LOSE_REQUEST, RESET, Fault, Proxy, Request, answer
from tests.servers import REGION, SECRET_KEY, S3Server, free_port

TRIES = 3


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits before it tries again."""
    without_pauses(monkeypatch)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def proxy(ministack: S3Server) -> Iterator[Proxy]:
    with Proxy(ministack.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def bucket(ministack: S3Server) -> str:
    return ministack.new_bucket()


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """Which client speaks to S3."""
    name: str = request.param
    return name


Make = Callable[..., Objects]


@pytest.fixture
def make(driver: str, s3_environment: None) -> Iterator[Make]:
    """Objects of a bucket, by the driver, with its arguments; closed in the end."""
    with ExitStack() as made:

        def make(*arguments: Any, **named: Any) -> Objects:
            objects = DRIVERS[driver](*arguments, region=REGION, **named)
            made.callback(objects.close)
            return objects

        yield make


@pytest.fixture
def objects(proxy: Proxy, bucket: str, make: Make) -> Objects:
    """Objects in a bucket of ministack, behind the proxy."""
    return make(bucket, "p", endpoint_url=proxy.url)


Call = Callable[[Objects], object]


def refused(objects: Objects, calls: Mapping[str, Call] | None = None) -> Iterator[Refused]:
    """Each of these calls, and the error that it raises."""
    for name, call in (CALLS if calls is None else calls).items():
        with pytest.raises(CheckpointError) as raised:
            call(objects)
        yield Refused(name, raised.value, str(raised.value))


class Refused(NamedTuple):
    call: str
    error: CheckpointError
    said: str


def once(fault: Fault) -> Callable[[Request], Fault | None]:
    """Something that happens to the first request of each kind only."""
    return lambda request: fault if request.attempt == 1 else None


def always(fault: Fault) -> Callable[[Request], Fault | None]:
    return lambda request: fault


READS: dict[str, Call] = {
    "get": lambda objects: objects.get("a"),
    "get unless": lambda objects: objects.get("a", unless='"x"'),
    "get_many": lambda objects: objects.get_many(["a"]),
    "get_many first": lambda objects: objects.get_many(["a"], first=10),
    "list": lambda objects: objects.list("a"),
    "folders": lambda objects: objects.folders("a/", ""),
}
WRITES: dict[str, Call] = {
    "create": lambda objects: objects.create("a", b"1"),
    "replace": lambda objects: objects.replace("a", b"1", '"x"'),
    "put_many": lambda objects: objects.put_many({"a": b"1"}),
    "delete": lambda objects: objects.delete(["a"]),
}
CALLS = READS | WRITES

ANSWERS: list[tuple[int, str, type[CheckpointError], int, str]] = [
    (403, "AccessDenied", StoreDenied, 1, "s3:ListBucket"),
    (403, "AllAccessDisabled", StoreDenied, 1, "enable"),
    (403, "InvalidAccessKeyId", StoreDenied, 1, "does not know the access key"),
    (403, "SignatureDoesNotMatch", StoreDenied, 1, "secret does not match"),
    (400, "ExpiredToken", StoreDenied, 1, "new credentials"),
    (400, "InvalidToken", StoreDenied, 1, "new credentials"),
    (403, "RequestTimeTooSkewed", StoreDenied, 1, "clock"),
    (403, "InvalidObjectState", StoreDenied, 1, "archive"),
    (403, "", StoreDenied, 1, "credentials"),
    (401, "", StoreDenied, 1, "credentials"),
    (400, "KMS.DisabledException", StoreDenied, 1, "KMS"),
    (404, "NoSuchBucket", NotAStore, 1, "Create it"),
    (404, "", NotAStore, 1, "endpoint_url"),
    (403, "QuotaExceeded", StoreFull, 1, "Make room"),
    (507, "", StoreFull, 1, "Make room"),
    (400, "RequestTimeout", StoreUnavailable, TRIES, "again"),
    (429, "TooManyRequests", StoreUnavailable, 1, "again"),
    (500, "InternalError", StoreUnavailable, TRIES, "again"),
    (502, "", StoreUnavailable, TRIES, "again"),
    (503, "SlowDown", StoreUnavailable, TRIES, "again"),
    (400, "KeyTooLongError", StoreError, 1, "KeyTooLongError"),
    (405, "MethodNotAllowed", StoreError, 1, "MethodNotAllowed"),
]


@pytest.mark.parametrize(
    ("status", "code", "kind", "requests", "hint"),
    ANSWERS,
    ids=[f"{status} {code}" for status, code, *_ in ANSWERS],
)
def test_an_answer_that_is_an_error_is_one_here(
    driver: str,
    objects: Objects,
    proxy: Proxy,
    bucket: str,
    status: int,
    code: str,
    kind: type[CheckpointError],
    requests: int,
    hint: str,
) -> None:
    if kind is StoreUnavailable and driver != "boto3":
        requests = TRIES  # after 429, too
    proxy.decide = always(answer(status, code))
    for call, error, said in refused(objects):
        assert type(error) is kind, call
        assert bucket in said
        assert hint in said
        assert len(proxy.requests) == requests, call
        assert error.__cause__ is not None
        assert SECRET_KEY not in "".join(traceback.format_exception(error))
        proxy.forget()


@pytest.mark.parametrize(
    "told",
    [
        answer(301, "PermanentRedirect", headers={"x-amz-bucket-region": "eu-west-3"}),
        answer(400, "AuthorizationHeaderMalformed", headers={"x-amz-bucket-region": "eu-west-3"}),
        answer(400, "IllegalLocationConstraintException"),
    ],
    ids=["301", "malformed", "illegal"],
)
def test_a_bucket_in_another_region_is_told(objects: Objects, proxy: Proxy, told: Fault) -> None:
    """botocore asks again in the region that it is told, and is refused there, too."""
    proxy.decide = always(told)
    for call, error, said in refused(objects):
        assert type(error) in (StoreDenied, StoreUnavailable), call
        assert "region" in said


@pytest.mark.promise("not-absent")
@pytest.mark.parametrize("fault", [LOSE_REQUEST, LOSE_REPLY, RESET], ids=["lost", "mute", "reset"])
def test_no_answer_is_an_outage(objects: Objects, proxy: Proxy, bucket: str, fault: Fault) -> None:
    proxy.decide = always(fault)
    for call, error, said in refused(objects):
        assert type(error) is StoreUnavailable, call
        assert bucket in said
        assert len(proxy.requests) == TRIES
        proxy.forget()


@pytest.mark.slow
def test_a_server_that_says_nothing_is_an_outage(
    bucket: str, make: Make, s3_environment: None
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are made, and not accepted
        url = "http://{}:{}".format(*silent.getsockname())
        for call, error, said in refused(make(bucket, endpoint_url=url, timeout=0.05)):
            assert type(error) is StoreUnavailable, call
            assert bucket in said


def test_a_server_that_is_not_there_is_an_outage(make: Make) -> None:
    port = free_port()
    objects = make("agents", endpoint_url=f"http://127.0.0.1:{port}")
    for call, error, said in refused(objects):
        assert type(error) is StoreUnavailable, call
        assert "'agents' cannot be reached" in said
        assert str(port) in said


def test_without_credentials_nothing_is_sent(
    objects: Objects, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for call, error, said in refused(objects):
        assert type(error) is StoreDenied, call
        assert "no usable credentials" in said
        assert "AWS_ACCESS_KEY_ID" in said
    assert proxy.requests == []


def test_a_profile_that_is_not_there(s3_environment: None) -> None:
    for call, error, said in refused(S3Objects("agents", profile="nobody", region=REGION)):
        assert type(error) is InvalidOption, call
        assert "nobody" in said


def test_an_answer_that_is_cut_short_is_an_outage(objects: Objects, proxy: Proxy) -> None:
    objects.put_many({"a": b"1" * 1000, "a/b/c": b"1"})
    proxy.decide = always(Fault(keep=5))
    for call, error, _ in refused(objects, READS):
        assert type(error) is StoreUnavailable, call


def test_a_listing_that_is_no_listing_is_an_outage(objects: Objects, proxy: Proxy) -> None:
    proxy.decide = always(answer(200, body="<html>welcome</ht"))
    for name in ("list", "folders"):
        ((_, error, _),) = refused(objects, {name: READS[name]})
        assert type(error) is StoreUnavailable


# --- conditions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [None, answer(412), answer(412, "PreconditionFailed")])
def test_a_condition_that_does_not_hold_takes_one_request(
    objects: Objects, proxy: Proxy, told: Fault | None
) -> None:
    objects.put_many({"a": b"1"})
    proxy.forget()
    proxy.decide = lambda request: told
    assert objects.create("a", b"2") is None
    assert objects.replace("a", b"2", '"x"') is None
    assert len(proxy.requests) == 2
    proxy.decide = always(answer(404, "NoSuchKey"))
    assert objects.replace("a", b"2", '"x"') is None


@pytest.mark.promise("not-absent")
def test_only_a_missing_object_is_absent(objects: Objects, proxy: Proxy) -> None:
    """And never where a condition for its absence is refused."""
    proxy.decide = always(answer(404, "NoSuchKey"))
    assert objects.get("a") is None
    with pytest.raises(StoreError):
        objects.create("a", b"1")
    with pytest.raises(StoreError):
        objects.put_many({"a": b"1"})


DONE = [LOSE_REPLY, answer(500, "InternalError", after=True), answer(503, "", after=True)]
NOT_DONE = [LOSE_REQUEST, RESET, answer(500, "InternalError"), answer(503, "SlowDown")]


@pytest.mark.parametrize("fault", DONE, ids=["unsaid", "500", "503"])
def test_a_write_that_was_done_and_refused_when_sent_again_is_unclear(
    objects: Objects, proxy: Proxy, fault: Fault
) -> None:
    proxy.decide = once(fault)
    with pytest.raises(StoreUnavailable, match="did not say whether"):
        objects.create("a", b"1")
    assert len(proxy.requests) == 2
    found = objects.get("a")
    assert found is not None
    assert found.data == b"1"
    proxy.forget()
    proxy.decide = once(fault)
    with pytest.raises(StoreUnavailable, match="did not say whether"):
        objects.replace("a", b"2", found.tag)
    assert proxy.count("PUT") == 2
    assert objects.get_many(["a"]) == {"a": b"2"}


@pytest.mark.parametrize("fault", NOT_DONE, ids=["lost", "reset", "500", "503"])
def test_a_write_that_was_not_done_is_done_when_sent_again(
    objects: Objects, proxy: Proxy, fault: Fault
) -> None:
    proxy.decide = once(fault)
    tag = objects.create("a", b"1") or ""
    assert len(proxy.requests) == 2
    assert objects.get("a") == Object(b"1", tag)


@pytest.mark.promise("unclear-resolved")
@pytest.mark.parametrize(
    "refusal",
    [answer(403, "ExpiredToken"), answer(404, "NoSuchKey"), answer(404, "NoSuchBucket")],
    ids=["expired", "gone", "no bucket"],
)
def test_a_write_that_may_have_been_done_is_unclear_whatever_is_said_later(
    objects: Objects, proxy: Proxy, refusal: Fault
) -> None:
    proxy.decide = lambda request: LOSE_REPLY if request.attempt % 2 else refusal
    for call, error, said in refused(objects, WRITES):
        assert type(error) is StoreUnavailable, call
        assert "may have been done" in said
        assert len(proxy.requests) == 2
        proxy.forget()


def test_a_conflict_with_a_write_under_way_is_unclear(objects: Objects, proxy: Proxy) -> None:
    proxy.decide = always(answer(409, "ConditionalRequestConflict"))
    for call in (WRITES["create"], WRITES["replace"]):
        with pytest.raises(StoreUnavailable, match="ConditionalRequestConflict"):
            call(objects)
    assert len(proxy.requests) == 2


@pytest.mark.parametrize(
    "told",
    [
        answer(501, "NotImplemented", "A header you provided implies functionality"),
        answer(501),
        answer(400, "InvalidArgument", "If-None-Match is not supported"),
    ],
    ids=["501", "501 and no more", "400"],
)
def test_a_server_that_knows_no_conditions_is_unsafe(
    objects: Objects, proxy: Proxy, told: Fault
) -> None:
    proxy.decide = always(told)
    for call in (WRITES["create"], WRITES["replace"]):
        with pytest.raises(StoreUnsafe, match="overwrite"):
            call(objects)
    with pytest.raises(StoreError) as raised:
        objects.put_many({"a": b"1"})  # has none
    assert type(raised.value) is not StoreUnsafe


@pytest.mark.promise("no-overwrite")
def test_a_server_that_ignores_conditions_gets_no_session(ministack: S3Server) -> None:
    client = ministack.client()
    bucket = ministack.new_bucket()

    def ignore(params: dict[str, Any], **other: Any) -> None:
        params["headers"].pop("If-None-Match", None)
        params["headers"].pop("If-Match", None)

    client.meta.events.register("before-call.s3.PutObject", ignore)
    cp = checkpoint.open(ObjectStore(S3Objects(bucket, client=client)))
    with pytest.raises(StoreUnsafe):
        cp.save("user-42", {"n": 1})
    cp.close()
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    client.close()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("IncompleteBody", "fewer bytes than the number of the Content-Length HTTP header"),
        ("XAmzContentSHA256Mismatch", "The provided header does not match what was computed"),
        ("ThrottlingException", "Rate exceeded"),
        ("KMS.ThrottlingException", "Rate exceeded"),
    ],
)
def test_a_write_that_was_damaged_or_too_much_is_tried_again_by_who_knows(
    objects: Objects, proxy: Proxy, code: str, said: str
) -> None:
    """It is not told as a server that knows no conditions, nor as a refusal for good."""
    proxy.decide = always(answer(400, code, said))
    for call in (WRITES["create"], WRITES["replace"]):
        with pytest.raises(StoreUnavailable):
            call(objects)


@pytest.mark.parametrize("call", ["create", "get"])
def test_an_answer_without_a_tag_is_unclear(objects: Objects, proxy: Proxy, call: str) -> None:
    proxy.decide = always(answer(200))
    with pytest.raises(StoreUnavailable, match="ETag"):
        CALLS[call](objects)


@pytest.mark.parametrize(
    "refused",
    [
        CredentialRetrievalError(provider="sts", error_msg="expired"),
        RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired"),
    ],
)
def test_credentials_that_run_out_between_two_tries_leave_a_write_unclear(
    proxy: Proxy, bucket: str, ministack: S3Server, refused: Exception
) -> None:
    """The first try has landed, and the second could not be signed."""
    client = ministack.client(proxy.url)
    signed = []

    def sign(**about: Any) -> None:
        signed.append(about)
        if len(signed) > 1:
            raise refused

    client.meta.events.register("before-sign.s3.PutObject", sign)
    proxy.decide = once(LOSE_REPLY)
    with pytest.raises(StoreUnavailable, match="may have been done"):
        S3Objects(bucket, client=client).create("a", b"1")
    assert ministack.client().get_object(Bucket=bucket, Key="a")["Body"].read() == b"1"
    client.close()


# --- many at once --------------------------------------------------------------------------------


def test_one_object_of_many_that_fails_is_told_when_all_have_ended(
    objects: Objects, proxy: Proxy
) -> None:
    def decide(request: Request) -> Fault | None:
        return answer(403, "AccessDenied") if request.key == "p/07" else None

    proxy.decide = decide
    keys = [f"{n:02}" for n in range(30)]
    with pytest.raises(StoreDenied):
        objects.put_many(dict.fromkeys(keys, b"1"))
    assert len(proxy.requests) == 30
    with pytest.raises(StoreDenied):
        objects.get_many(keys)
    proxy.decide = lambda request: None
    assert len(objects.list("")) == 29


def test_a_deletion_that_fails_for_one_key_is_told(objects: Objects, proxy: Proxy) -> None:
    told = "<Error><Key>p/b</Key><Code>{}</Code><Message>so</Message></Error>"
    told = f"<DeleteResult>{told}</DeleteResult>"
    proxy.decide = always(answer(200, body=told.format("AccessDenied")))
    with pytest.raises(StoreDenied, match=r"'p/b'.*AccessDenied.*s3:DeleteObject"):
        objects.delete(["a", "b"])
    proxy.decide = always(answer(200, body=told.format("InternalError")))
    with pytest.raises(StoreUnavailable, match="InternalError"):
        objects.delete(["a", "b"])
    proxy.decide = once(answer(200, body=told.format("NoSuchKey")))
    objects.delete(["a", "b"])


def test_a_thousand_keys_are_deleted_by_one_request(objects: Objects, proxy: Proxy) -> None:
    objects.delete([f"{n:04}" for n in range(2001)])
    assert proxy.count("POST") == len(proxy.requests) == 3


# --- real servers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [pytest.param("moto", marks=pytest.mark.slow), "ministack", "seaweedfs"]
)
def test_a_bucket_that_is_not_there_is_no_store(
    name: str, request: pytest.FixtureRequest, make: Make
) -> None:
    server: S3Server = request.getfixturevalue(name)
    calls = READS if name == "seaweedfs" else CALLS  # it makes a bucket for who may write
    objects = make("no-such-bucket", endpoint_url=server.endpoint_url)
    for call, error, said in refused(objects, calls):
        assert type(error) is NotAStore, call
        assert "'no-such-bucket' does not exist" in said
        assert "Create it" in said


@pytest.mark.parametrize(
    ("changed", "hint"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong-secret"}, "secret does not match"),
        ({"AWS_ACCESS_KEY_ID": "AKIDUNKNOWN"}, "does not know the access key"),
        ({"AWS_ACCESS_KEY_ID": "AKIDNONE"}, "AccessDenied"),
    ],
    ids=["secret", "key", "rights"],
)
def test_credentials_that_a_server_refuses(
    seaweedfs: S3Server,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, str],
    hint: str,
) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    bucket = seaweedfs.new_bucket()
    objects = make(bucket, endpoint_url=seaweedfs.endpoint_url)
    for call, error, said in refused(objects):
        assert type(error) is StoreDenied, call
        assert hint in said
        assert bucket in said
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in said

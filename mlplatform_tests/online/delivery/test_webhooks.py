"""Pushing to real receivers: what arrives, what is tried again, what is given up, and what is never sent."""

import json
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mlplatform.crosscutting.bus import Bus, open_bus
from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.bus.topics import WEBHOOK_UNDELIVERED
from mlplatform.crosscutting.settings import Settings
from mlplatform.crosscutting.signature import Secret, verify
from mlplatform.errors import ConfigurationError, RequestError, StoreError
from mlplatform.online.delivery.backoff import Backoff
from mlplatform.online.delivery.outbox import Kept, Outbox
from mlplatform.online.delivery.targets import Targets
from mlplatform.online.delivery.undelivered import LARGEST_TOLD, Undelivered, letter
from mlplatform.online.delivery.webhooks import Webhooks
from mlplatform.stores.undelivered import Letter, UndeliveredFiles
from mlplatform_tests.crosscutting.brokers import Broker, free_port
from mlplatform_tests.online.delivery.receiver import Receiver

KEY = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY="
BODY = b'{"score": 0.25}'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@contextmanager
def pushing(
    folder: Path,
    *urls: str,
    open_bus: Callable[[], Bus] | None = None,
    outbox: Outbox | None = None,
    **more: Any,
) -> Iterator[Webhooks]:
    more = {"attempts": 3, "backoff": Backoff(0.01, 0.02), **more}
    hooks = Webhooks(Targets(",".join(urls)), Secret(KEY), Undelivered(folder, open_bus), outbox, **more)
    hooks.start()
    try:
        yield hooks
    finally:
        hooks.close(0.1)


def letters(folder: Path) -> list[Letter]:
    return list(UndeliveredFiles(folder).letters())


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def settled(hooks: Webhooks) -> dict[str, Any]:
    until(lambda: hooks.waiting == 0, f"messages still wait: {hooks.status()}")
    return hooks.status()


def test_a_message_arrives_signed(tmp_path: Path, receiver: Receiver) -> None:
    with pushing(tmp_path, receiver.url) as hooks:
        hooks.push(f"{receiver.url}/ok?for=me", "abc123", BODY)
        got = receiver.got.get(timeout=10)
        assert settled(hooks)["delivered"] == 1
    assert (got.path, got.body) == ("/ok?for=me", BODY)
    assert verify(KEY, got.headers, got.body) == "abc123"
    named = {name.lower(): value for name, value in got.headers.items()}
    assert named["content-type"] == "application/json"
    assert letters(tmp_path) == []


@pytest.mark.parametrize(("path", "times"), [("/recovers/2", 3), ("/later/1", 2)])
def test_it_is_tried_again_with_the_same_id(
    tmp_path: Path, receiver: Receiver, path: str, times: int
) -> None:
    with pushing(tmp_path, receiver.url) as hooks:
        hooks.push(receiver.url + path, "again", BODY)
        status = settled(hooks)
    got = [receiver.got.get_nowait() for _ in range(times)]
    assert {verify(KEY, each.headers, each.body) for each in got} == {"again"}
    assert (status["delivered"], status["retried"], status["undelivered"]) == (1, times - 1, 0)
    assert receiver.got.empty()


@pytest.mark.parametrize(
    ("path", "attempts", "reason"),
    [
        ("/status/500", 3, "the receiver answered 500"),
        ("/hangs-up", 3, "RemoteProtocolError"),
        ("/status/400", 1, "the receiver answered 400"),
        ("/status/410", 1, "the receiver answered 410"),
        ("/redirect", 1, "the receiver answered 307; redirects are not followed"),
    ],
)
def test_what_is_given_up_is_kept(
    tmp_path: Path, receiver: Receiver, path: str, attempts: int, reason: str
) -> None:
    with pushing(tmp_path, receiver.url) as hooks:
        hooks.push(receiver.url + path, "lost-one", BODY, use_case="returns")
        status = settled(hooks)
    assert (status["delivered"], status["undelivered"], status["lost"]) == (0, 1, 0)
    (kept,) = letters(tmp_path)
    assert (kept.id, kept.use_case, kept.url) == ("lost-one", "returns", receiver.url + path)
    assert (kept.body, kept.attempts) == (BODY.decode(), attempts)
    assert kept.reason.startswith(reason)
    assert receiver.seen == {path: attempts}, "it was sent elsewhere, or too often"
    assert stat.S_IMODE(next(tmp_path.iterdir()).stat().st_mode) == 0o600


def test_nobody_listens_there(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pushing(tmp_path, url) as hooks:
        hooks.push(url, "x", BODY)
        settled(hooks)
    (kept,) = letters(tmp_path)
    assert kept.reason.startswith("ConnectError")
    assert kept.attempts == 3


def test_a_slow_receiver_is_given_up_and_holds_up_no_other(tmp_path: Path, receiver: Receiver) -> None:
    with (
        Receiver() as other,
        pushing(tmp_path, receiver.url, other.url, timeout=0.3, attempts=2, at_once=2) as hooks,
    ):
        for number in range(2):
            hooks.push(f"{receiver.url}/slow", f"slow-{number}", BODY)
        for _ in range(2):
            assert receiver.holding.acquire(timeout=10)
        hooks.push(f"{receiver.url}/slow", "slow-2", BODY)  # waits for its turn at this receiver
        hooks.push(f"{other.url}/ok", "quick", BODY)
        assert verify(KEY, (got := other.got.get(timeout=10)).headers, got.body) == "quick"
        status = settled(hooks)
    assert (status["delivered"], status["undelivered"]) == (1, 3)
    found = letters(tmp_path)
    assert {each.id for each in found} == {f"slow-{number}" for number in range(3)}
    assert all(each.reason.startswith(("TimeoutError", "ReadTimeout")) for each in found)


def test_what_is_under_way_at_the_end_is_kept(tmp_path: Path, receiver: Receiver) -> None:
    with pushing(tmp_path, receiver.url, at_once=1) as hooks:
        hooks.push(f"{receiver.url}/slow", "sent", BODY)
        assert receiver.holding.acquire(timeout=10)
        for number in range(50):
            hooks.push(f"{receiver.url}/slow", f"waits-{number}", BODY)
    found = {each.id: each for each in letters(tmp_path)}
    assert found.keys() == {"sent", *(f"waits-{number}" for number in range(50))}
    assert all("the service stopped" in each.reason for each in found.values())
    assert hooks.status()["undelivered"] == 51
    with pytest.raises(RequestError, match="starting or stopping"):
        hooks.push(f"{receiver.url}/ok", "late", BODY)


def test_what_can_still_be_sent_at_the_end_is(tmp_path: Path, receiver: Receiver) -> None:
    hooks = Webhooks(Targets(receiver.url), Secret(KEY), Undelivered(tmp_path))
    hooks.start()
    for number in range(40):
        hooks.push(f"{receiver.url}/ok", str(number), BODY)
    hooks.close(20)
    hooks.close()
    assert receiver.seen == {"/ok": 40}
    assert letters(tmp_path) == []


def test_memory_is_bounded(tmp_path: Path, receiver: Receiver) -> None:
    with pushing(tmp_path, receiver.url, most=3, most_bytes=1000) as hooks:
        for number in range(2):
            hooks.push(f"{receiver.url}/slow", str(number), BODY)
        with pytest.raises(RequestError, match="bytes wait to be pushed") as caught:
            hooks.push(f"{receiver.url}/slow", "large", b"x" * 1000)
        assert caught.value.status == 503
        hooks.push(f"{receiver.url}/slow", "2", BODY)
        with pytest.raises(RequestError, match="3 messages wait to be pushed, allowed: 3"):
            hooks.push(f"{receiver.url}/slow", "3", BODY)
        assert hooks.status()["refused"] == 2
        receiver.over.set()
        settled(hooks)


def test_what_is_refused_is_never_sent(tmp_path: Path, receiver: Receiver) -> None:
    with pushing(tmp_path, f"{receiver.url}/hooks") as hooks:
        for url in (f"{receiver.url}/ok", f"{receiver.url}/hooks/../ok", "http://[::1/", "nonsense"):
            with pytest.raises(RequestError):
                hooks.push(url, "x", BODY)
        with pytest.raises(RequestError, match="got message id"):
            hooks.push(f"{receiver.url}/hooks", "a.b", BODY)
        assert hooks.status()["pushed"] == 0
    assert not receiver.seen


def test_without_a_secret_nothing_is_pushed(tmp_path: Path) -> None:
    hooks = Webhooks(Targets("http://127.0.0.1:9"), None, Undelivered(tmp_path))
    hooks.start()
    with pytest.raises(RequestError, match="no secret to sign them by") as caught:
        hooks.push("http://127.0.0.1:9/", "x", BODY)
    assert caught.value.status == 403
    assert "MLPLATFORM_WEBHOOK_SECRET" in caught.value.hint
    assert hooks.status()["on"] is False
    hooks.close()


def test_many_threads_may_push(tmp_path: Path, receiver: Receiver) -> None:
    with pushing(tmp_path, receiver.url) as hooks:

        def push(first: int) -> None:
            for number in range(10):
                hooks.push(f"{receiver.url}/ok", f"{first}-{number}", BODY)

        threads = [threading.Thread(target=push, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert settled(hooks)["delivered"] == 40
    got = {verify(KEY, each.headers, each.body) for each in (receiver.got.get() for _ in range(40))}
    assert len(got) == 40


def test_what_is_left_at_the_end_is_for_the_next_process(tmp_path: Path, receiver: Receiver) -> None:
    kept, place = tmp_path / "kept", tmp_path / "outbox"
    with pushing(kept, receiver.url, outbox=Outbox(place), at_once=1) as hooks:
        hooks.push(f"{receiver.url}/ok", "done", BODY)
        assert receiver.got.get(timeout=10).path == "/ok"
        hooks.push(f"{receiver.url}/slow", "held", BODY)
        assert receiver.holding.acquire(timeout=10)
        hooks.push(f"{receiver.url}/ok?x=2", "waits", b"\xff")
    receiver.over.set()
    assert letters(kept) == []
    assert receiver.got.get(timeout=10).path == "/slow"
    with Receiver() as other, pushing(kept, f"{other.url},{receiver.url}/ok", outbox=Outbox(place)) as hooks:
        got = receiver.got.get(timeout=10)
        assert (verify(KEY, got.headers, got.body), got.path, got.body) == ("waits", "/ok?x=2", b"\xff")
        status = settled(hooks)
    assert (status["taken_over"], status["delivered"], status["undelivered"]) == (2, 1, 1)
    (refused,) = letters(kept)
    assert (refused.id, refused.attempts) == ("held", 0)
    assert "not among the allowed targets" in refused.reason
    assert list(place.iterdir()) == [], "settled messages stay"


def test_an_outbox_that_a_killed_process_left(tmp_path: Path, receiver: Receiver) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from mlplatform.online.delivery.outbox import Kept, Outbox\n"
        "outbox = Outbox(Path(sys.argv[1])); outbox.open()\n"
        "for key in 'ab': outbox.put(Kept(key=key, id=key, use_case='u', url=sys.argv[2], body=b'{}'))\n"
        "os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "outbox"), f"{receiver.url}/ok"]
    assert subprocess.run(command).returncode == -9
    (folder,) = (tmp_path / "outbox").iterdir()
    (folder / "torn").write_bytes(b'{"key": "to')
    with pushing(tmp_path, receiver.url, outbox=Outbox(tmp_path / "outbox")) as hooks:
        with pushing(tmp_path, receiver.url, outbox=Outbox(tmp_path / "outbox")) as second:
            assert second.taken_over == 0, "it took over from a process that lives"
        assert settled(hooks)["delivered"] == 2
    got = {verify(KEY, each.headers, each.body) for each in (receiver.got.get(), receiver.got.get())}
    assert got == {"a", "b"}


def test_an_outbox_that_cannot_be_written(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "file").write_text("")
    hooks = Webhooks(Targets(receiver.url), Secret(KEY), Undelivered(tmp_path), Outbox(tmp_path / "file"))
    with closing(hooks), pytest.raises(StoreError, match="outbox of webhooks cannot be written"):
        hooks.start()
    with pushing(tmp_path, receiver.url, outbox=Outbox(tmp_path / "outbox")) as hooks:
        shutil.rmtree(tmp_path / "outbox")
        with pytest.raises(RequestError, match="outbox cannot be written") as caught:
            hooks.push(f"{receiver.url}/ok", "x", BODY)
        assert caught.value.status == 503


def test_settings(tmp_path: Path) -> None:
    environment = {
        "MLPLATFORM_HOME": str(tmp_path),
        "MLPLATFORM_WEBHOOK_TARGETS": "http://127.0.0.1:9",
        "MLPLATFORM_WEBHOOK_SECRET": KEY,
    }
    settings = Settings.load(environment)
    assert KEY not in repr(settings)
    with closing(Webhooks.from_settings(settings)) as hooks:
        hooks.start()
        assert hooks.status()["on"] is True
    with closing(Webhooks.from_settings(Settings.load({}))) as hooks:
        hooks.start()
        assert hooks.status()["on"] is False
    with pytest.raises(ConfigurationError, match="secret"):
        Webhooks.from_settings(Settings.load(environment | {"MLPLATFORM_WEBHOOK_SECRET": "short"}))


@pytest.mark.parametrize("attempt", range(1, 40))
def test_pauses_grow_to_a_limit_and_obey_the_receiver(attempt: int) -> None:
    backoff = Backoff(0.5, 60.0)
    usual = min(60.0, 0.5 * 2 ** (attempt - 1))
    assert usual / 2 <= backoff.pause(attempt) <= usual
    assert backoff.pause(attempt, 61.0) == 60.0
    assert 20.0 <= backoff.pause(attempt, 20.0) <= max(20.0, usual)


def test_an_undelivered_message_is_told_of_on_the_bus(tmp_path: Path, receiver: Receiver) -> None:
    bus = MemoryBus()
    with pushing(tmp_path, receiver.url, open_bus=lambda: bus) as hooks:
        hooks.push(f"{receiver.url}/status/400", "told", BODY, use_case="returns")
        settled(hooks)
        until(lambda: hooks.status()["dead_letters"]["told"] == 1, "it was not told")
        (message,) = [received.envelope for received in bus.read(WEBHOOK_UNDELIVERED, 0, 10)]
    (kept,) = letters(tmp_path)
    assert (message.id, message.data.message_id, message.data.use_case) == (kept.key, "told", "returns")
    assert message.data.url == f"{receiver.url}/status/400"
    assert message.data.original == BODY.decode()


def test_a_broker_that_is_away_costs_nothing_but_the_telling(tmp_path: Path, receiver: Receiver) -> None:
    away = f"nats://127.0.0.1:{free_port()}"
    with pushing(tmp_path, receiver.url, open_bus=lambda: open_bus(away)) as hooks:
        for number in range(3):
            hooks.push(f"{receiver.url}/status/400", str(number), BODY)
        settled(hooks)
        until(lambda: hooks.status()["dead_letters"]["untold"] == 3, "it was not counted")
        assert "No broker answers" in hooks.status()["dead_letters"]["trouble"]
    assert len(letters(tmp_path)) == 3


def test_a_real_broker_has_it(tmp_path: Path) -> None:
    with Broker(tmp_path / "home") as broker, closing(open_bus(broker.url)) as bus:
        with closing(Undelivered(tmp_path / "kept", lambda: open_bus(broker.url))) as undelivered:
            undelivered.keep(
                [_letter(b"x" * (LARGEST_TOLD + 1)), _letter(b"\xff\x00"), _letter(b"\x01" * 150_000)]
            )
        found = [received.envelope.data for received in bus.read(WEBHOOK_UNDELIVERED, 0, 10)]
        assert undelivered.status()["told"] == 3
    assert [(each.truncated, each.encoding) for each in found] == [
        (True, "text"),
        (False, "base64"),
        (False, "text"),
    ]


def test_a_line_that_a_crash_left_unfinished_harms_no_other(tmp_path: Path) -> None:
    undelivered = Undelivered(tmp_path)
    undelivered.keep([_letter(b"one")])
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b'{"key": "torn')
    undelivered.keep([_letter(b"two"), _letter(b"three")])
    undelivered.close()
    assert [each.body for each in letters(tmp_path)] == ["one", "two", "three"]


def test_a_disk_that_refuses_is_told_of(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with pushing(tmp_path / "file", receiver.url) as hooks:
        hooks.push(f"{receiver.url}/status/400", "gone", BODY)
        assert settled(hooks)["lost"] == 1
    assert "are lost: gone to" in caplog.text


def _letter(body: bytes) -> Any:
    kept = Kept(key=uuid4().hex, id="x", use_case="returns", url="http://a/", body=body)
    return letter(kept, "r", 1)


def test_letters_are_json_lines(tmp_path: Path) -> None:
    with closing(Undelivered(tmp_path)) as undelivered:
        undelivered.keep([_letter(b'{"a": "\\n"}\n')])
    (path,) = tmp_path.iterdir()
    (line,) = [line for line in path.read_text().split("\n") if line]
    assert json.loads(line)["body"] == '{"a": "\\n"}\n'

"""What could not be delivered is sent again to a real receiver: signed, once, noted and audited."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.crosscutting.signature import verify
from mlplatform.errors import ConfigurationError
from mlplatform.online.delivery.resend import KIND, Resender
from mlplatform.stores.audit import AuditLog
from mlplatform.stores.undelivered import Letter, Resent, UndeliveredFiles
from mlplatform_tests.online.delivery.receiver import Receiver
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Zygote

KEY = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY="
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def letter(name: str, url: str, body: str = '{"score": 0.25}', **more: str) -> Letter:
    told = {"use_case": "orders", "reason": "the receiver answered 500", "encoding": "text", **more}
    return Letter(key=name, id=f"id-{name}", url=url, attempts=8, given_up_at=NOW, body=body, **told)  # type: ignore[arg-type]


def at(home: Path, targets: str) -> Settings:
    named = {"MLPLATFORM_WEBHOOK_TARGETS": targets, "MLPLATFORM_WEBHOOK_SECRET": KEY}
    return Settings.load({"MLPLATFORM_HOME": str(home), **named})


def resent(settings: Settings, letters: list[Letter]) -> dict[str, str]:
    with closing(AuditLog.from_settings(settings)) as audit:
        return Resender.from_settings(settings, audit).resend(letters, "me@here")


def test_it_arrives_signed_under_its_id_and_is_noted_and_audited(tmp_path: Path, receiver: Receiver) -> None:
    settings = at(tmp_path, receiver.url)
    files = UndeliveredFiles.from_settings(settings)
    binary = letter("b", f"{receiver.url}/ok", "/w==", encoding="base64")
    files.keep([letter("a", f"{receiver.url}/ok"), binary])
    assert resent(settings, files.waiting()) == {}
    first, second = receiver.got.get_nowait(), receiver.got.get_nowait()
    assert (first.body, second.body) == (b'{"score": 0.25}', b"\xff")
    assert [verify(KEY, got.headers, got.body) for got in (first, second)] == ["id-a", "id-b"]
    assert files.waiting() == []
    with closing(AuditLog.from_settings(settings)) as audit:
        entries = audit.entries(kind=KIND, subject="orders")
        assert audit.verify().sound
    assert [entry.who for entry in entries] == ["me@here"] * 2
    assert entries[0].told()["details"] == {
        "action": "resend",
        "message": "id-a",
        "url": f"{receiver.url}/ok",
    }


def test_what_is_not_taken_stays_with_the_reason_and_holds_up_no_other(
    tmp_path: Path, receiver: Receiver
) -> None:
    settings = at(tmp_path, receiver.url)
    files = UndeliveredFiles.from_settings(settings)
    files.keep(
        [
            letter("refused", f"{receiver.url}/status/503"),
            letter("elsewhere", "http://127.0.0.1:9/ok"),
            letter("fine", f"{receiver.url}/ok"),
        ]
    )
    failed = resent(settings, files.waiting())
    assert failed["refused"] == "the receiver answered 503"
    assert "not among the allowed targets" in failed["elsewhere"]
    assert [each.key for each in files.waiting()] == ["refused", "elsewhere"]


def test_without_targets_it_says_what_to_set(tmp_path: Path) -> None:
    settings = Settings.load({"MLPLATFORM_HOME": str(tmp_path)})
    with pytest.raises(ConfigurationError, match="webhooks are off") as caught:
        resent(settings, [])
    assert "MLPLATFORM_WEBHOOK_TARGETS" in caught.value.hint


def test_a_line_that_a_crash_left_unfinished_hides_no_other(tmp_path: Path) -> None:
    files = UndeliveredFiles(tmp_path)
    files.keep([letter("a", "http://x/")])
    with next(tmp_path.glob("webhooks-*")).open("ab") as file:
        file.write(b'{"key": "half')
    files.keep([letter("b", "http://x/")])
    files.resent([Resent(key="a", at=NOW, who="me")])
    assert [each.key for each in files.letters()] == ["a", "b"]
    assert [each.key for each in files.waiting()] == ["b"]


class TestCommand:
    def test_list_and_resend(self, tmp_path: Path, receiver: Receiver, mlplatform: Zygote) -> None:
        home = tmp_path / "home"
        files = UndeliveredFiles(home / "undelivered")
        files.keep([letter("a", f"{receiver.url}/ok"), letter("b", f"{receiver.url}/status/500")])
        named = {"MLPLATFORM_WEBHOOK_TARGETS": receiver.url, "MLPLATFORM_WEBHOOK_SECRET": KEY}

        def run(*words: str) -> tuple[int, dict[str, object]]:
            ended = mlplatform.run("undelivered", *words, "--json", home=home, cwd=tmp_path, **named)
            return ended.returncode, world.one_object(ended.stdout)

        _, listed = run("list")
        assert [each["key"] for each in listed["messages"]] == ["a", "b"]  # type: ignore[attr-defined]
        assert run("resend") == (1, {"sent": ["a"], "failed": {"b": "the receiver answered 500"}})
        assert [each["key"] for each in run("list")[1]["messages"]] == ["b"]  # type: ignore[attr-defined]
        assert run("resend", "--key", "a") == (0, {"sent": ["a"], "failed": {}})
        assert receiver.seen == {"/ok": 2, "/status/500": 1}
        told = mlplatform.run("undelivered", "list", "--all", home=home, cwd=tmp_path, **named)
        assert "sent again at" in told.stdout
        assert "the receiver answered 500, tried 8 times" in told.stdout

    def test_a_key_that_is_none(self, tmp_path: Path, mlplatform: Zygote) -> None:
        ended = mlplatform.run("undelivered", "resend", "--key", "x", home=tmp_path / "home", cwd=tmp_path)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "there is no undelivered message 'x'" in ended.stderr
        assert not (tmp_path / "home").exists()

    def test_nothing_is_undelivered(self, tmp_path: Path, mlplatform: Zygote) -> None:
        ended = mlplatform.run("undelivered", "resend", "--json", home=tmp_path, cwd=tmp_path)
        assert world.one_object(ended.stdout) == {"sent": [], "failed": {}}

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from medunet.errors import ConfigError
from medunet.review import accounts, audit, sessions
from medunet.review.errors import Refused
from medunet.review.policy import User
from medunet.review.room import Room

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash with as little work as argon2 allows: what is kept from guessing is tested elsewhere."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(accounts, "HASHER", hasher)
    monkeypatch.setattr(accounts, "NOBODY", hasher.hash("x" * 12))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    for module in (accounts, sessions):
        monkeypatch.setattr(module, "time", found)
    return found


@pytest.fixture
def anna(room: Room) -> Room:
    accounts.add_user(room, "anna", PASSWORD, "reviewer", "root")
    return room


def test_a_user_logs_in_and_out(anna: Room, tmp_path: Path):
    token = accounts.login(anna, "anna", PASSWORD)
    other = accounts.login(anna, "anna", PASSWORD)
    assert len(token) >= 40
    assert accounts.session(anna, token) == User("anna", "reviewer")
    accounts.logout(anna, token)
    accounts.logout(anna, token)
    assert accounts.session(anna, token) is None
    assert accounts.session(anna, other) is not None
    assert accounts.session(anna, other + "x") is None
    actions = [entry["action"] for entry in audit.entries(anna)]
    assert actions == ["logout", "login", "login_tried", "login", "login_tried", "user_added"]
    stored = b"".join(path.read_bytes() for path in (tmp_path / "review").glob("review.db*"))
    assert token.encode() not in stored
    assert PASSWORD.encode() not in stored


def test_everything_that_is_wrong_sounds_the_same(anna: Room):
    accounts.add_user(anna, "ben", PASSWORD, "viewer", "root")
    accounts.deactivate(anna, "ben", "root")
    accounts.add_user(anna, "carl", None, "viewer", "root")
    said = set()
    for name, password in [("anna", "wrong"), ("nobody", PASSWORD), ("ben", PASSWORD), ("carl", PASSWORD)]:
        with pytest.raises(Refused) as caught:
            accounts.login(anna, name, password)
        said.add(str(caught.value))
    assert said == {accounts.WRONG}
    tried = [entry["user"] for entry in audit.entries(anna) if entry["action"] == "login_tried"]
    assert tried == ["carl", "ben", "?", "anna"]  # what is no name may be a password


def test_an_unknown_user_takes_a_hash_too(anna: Room, monkeypatch: pytest.MonkeyPatch):
    hashed: list[str] = []

    def matches(stored: str, password: str) -> bool:
        hashed.append(stored)
        return True  # even a password that fits lets nobody in

    monkeypatch.setattr(accounts, "_matches", matches)
    with pytest.raises(Refused):
        accounts.login(anna, "nobody", PASSWORD)
    assert hashed == [accounts.NOBODY]


def test_five_failures_lock_for_a_quarter_of_an_hour(anna: Room, clock: Clock):
    for _ in range(4):
        with pytest.raises(Refused):
            accounts.login(anna, "anna", "wrong")
    accounts.login(anna, "anna", PASSWORD)  # the count starts again
    for _ in range(5):
        with pytest.raises(Refused):
            accounts.login(anna, "anna", "wrong")
    clock.now += 14.9 * 60
    with pytest.raises(Refused):
        accounts.login(anna, "anna", PASSWORD)
    clock.now += 0.2 * 60
    accounts.login(anna, "anna", PASSWORD)


def test_the_fifth_attempt_may_be_the_right_one(anna: Room):
    for _ in range(4):
        with pytest.raises(Refused):
            accounts.login(anna, "anna", "wrong")
    assert accounts.login(anna, "anna", PASSWORD)
    assert accounts.users(anna)[0].locked_until == 0


def test_many_at_once_guess_no_more_than_five(anna: Room, monkeypatch: pytest.MonkeyPatch):
    looked: list[str] = []
    barrier = threading.Barrier(8)

    def matches(stored: str, password: str) -> bool:
        if stored != accounts.NOBODY:
            looked.append(password)
        return False

    def guess() -> None:
        barrier.wait()
        with pytest.raises(Refused):
            accounts.login(anna, "anna", "guess")

    monkeypatch.setattr(accounts, "_matches", matches)
    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(looked) == 5


def test_a_session_ends_when_idle_and_after_twelve_hours(anna: Room, clock: Clock):
    token = accounts.login(anna, "anna", PASSWORD)
    clock.now += 14 * 60
    assert accounts.session(anna, token) is not None
    clock.now += 14 * 60
    assert accounts.session(anna, token, touch=False) is not None  # a heartbeat is nobody
    clock.now += 2 * 60
    assert accounts.session(anna, token) is None
    token = accounts.login(anna, "anna", PASSWORD)
    for _ in range(12 * 6 - 1):
        clock.now += 600
        assert accounts.session(anna, token) is not None
    clock.now += 601
    assert accounts.session(anna, token) is None


def test_what_is_seen_is_written_at_most_every_half_minute(anna: Room, clock: Clock):
    token = accounts.login(anna, "anna", PASSWORD)

    def seen() -> float:
        with anna.read() as connection:
            return float(connection.scalar(sessions.sql.select(sessions.SESSIONS.c.seen)) or 0)

    begun = seen()
    clock.now += 29
    accounts.session(anna, token)
    assert seen() == begun
    clock.now += 2
    accounts.session(anna, token)
    assert seen() == clock.now


def test_a_role_holds_at_once_and_a_lock_out_ends_sessions(anna: Room):
    first, second = (accounts.login(anna, "anna", PASSWORD) for _ in range(2))
    accounts.set_role(anna, "anna", "viewer", "root")
    assert accounts.session(anna, first) == User("anna", "viewer")
    assert accounts.revoke(anna, "anna", "root") == 2
    assert accounts.session(anna, second) is None
    third = accounts.login(anna, "anna", PASSWORD)
    accounts.set_password(anna, "anna", "another long password", "root")
    assert accounts.session(anna, third) is None
    with pytest.raises(Refused):
        accounts.login(anna, "anna", PASSWORD)
    fourth = accounts.login(anna, "anna", "another long password")
    accounts.deactivate(anna, "anna", "root")
    assert accounts.session(anna, fourth) is None
    with pytest.raises(Refused):
        accounts.login(anna, "anna", "another long password")
    accounts.activate(anna, "anna", "root")
    assert accounts.session(anna, fourth) is None
    assert accounts.login(anna, "anna", "another long password")


def test_a_session_of_a_user_who_is_off_is_none_even_where_it_was_left(anna: Room):
    token = accounts.login(anna, "anna", PASSWORD)
    with anna.begin() as connection:
        connection.execute(sessions.sql.update(accounts.USERS).values(active=False))
    assert accounts.session(anna, token) is None


def test_a_subject_of_a_provider_is_let_in_where_it_is_known(anna: Room):
    with pytest.raises(Refused, match="not known here"):
        accounts.oidc_user(anna, "https://idp 42", "Anna A.", "anna@x")
    accounts.set_subject(anna, "anna", "https://idp 42", "root")
    token = accounts.oidc_user(anna, "https://idp 42", "Anna A.", "anna@x")
    assert accounts.session(anna, token) == User("anna", "reviewer", "Anna A.")
    accounts.deactivate(anna, "anna", "root")
    with pytest.raises(Refused):
        accounts.oidc_user(anna, "https://idp 42", "Anna A.", "anna@x")


def test_what_cannot_be_a_user_is_told(anna: Room):
    for name, password, role in [
        ("anna", PASSWORD, "viewer"),
        ("Anna", PASSWORD, "viewer"),
        ("a b", PASSWORD, "viewer"),
        ("?", PASSWORD, "viewer"),
        ("x" * 65, PASSWORD, "viewer"),
        ("ben", "short", "viewer"),
        ("ben", "x" * 257, "viewer"),
        ("ben", PASSWORD, "king"),
    ]:
        with pytest.raises(ConfigError):
            accounts.add_user(anna, name, password, role, "root")
    with pytest.raises(ConfigError, match="there is none"):
        accounts.set_role(anna, "ben", "viewer", "root")
    with pytest.raises(ConfigError, match="unknown role"):
        accounts.set_role(anna, "anna", "king", "root")
    assert [(user.name, user.role, user.has_password) for user in accounts.users(anna)] == [
        ("anna", "reviewer", True)
    ]


def test_a_hash_of_less_work_is_made_anew_at_a_login(anna: Room, monkeypatch: pytest.MonkeyPatch):
    stronger = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
    monkeypatch.setattr(accounts, "HASHER", stronger)
    accounts.login(anna, "anna", PASSWORD)
    with anna.read() as connection:
        stored = connection.scalar(sessions.sql.select(accounts.USERS.c.password))
    assert not stronger.check_needs_rehash(str(stored))
    assert accounts.login(anna, "anna", PASSWORD)


def test_the_work_of_a_real_hash(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    begun = time.process_time()
    assert not accounts._matches(accounts.NOBODY, PASSWORD)
    assert time.process_time() - begun > 0.01  # it is a hash that argon2 understands, and works on
    assert accounts.HASHER.memory_cost == 64 * 1024
    assert not accounts.HASHER.check_needs_rehash(accounts.NOBODY)

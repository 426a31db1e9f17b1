"""The message channel: who may speak, how long, and in what form."""

import contextlib
import json
import socket
import struct
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.oblivious.channel import MAX_FRAME, Channel, Hub
from deepcube.oblivious.errors import ChannelError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.close()


def connect(hub, number=0, **options):
    """Connect a worker, while the hub polls in this thread."""
    made = {}

    def run():
        try:
            made["channel"] = Channel(hub.host, hub.port, options.get("secret", hub.secret), number)
        except (OSError, ChannelError) as error:
            made["error"] = error

    thread = threading.Thread(target=run)
    thread.start()
    events = []
    while thread.is_alive():
        events += hub.poll(0.02)
    return made, events


def drain(hub, until=1, seconds=5.0):
    events, deadline = [], time.monotonic() + seconds
    while len(events) < until and time.monotonic() < deadline:
        events += hub.poll(0.05)
    return events


@settings(max_examples=30)
@given(messages=st.lists(st.dictionaries(st.text(), JSON, max_size=4), min_size=1, max_size=5))
def test_messages_arrive_whole_and_in_order_in_both_directions(messages):
    hub = Hub()
    try:
        made, events = connect(hub, 7)
        assert events == [(7, {"kind": "hello"})]
        for message in messages:
            made["channel"].send(message)
        assert drain(hub, len(messages)) == [(7, message) for message in messages]
        for message in messages:
            assert hub.send(7, message)
        assert [made["channel"].receive() for _ in messages] == messages
        made["channel"].close()
        assert drain(hub) == [(7, None)]
        assert not hub.send(7, {})
    finally:
        hub.close()


def test_only_loopback_is_bound_or_the_given_interface(hub):
    assert hub.host == hub._listener.getsockname()[0] == "127.0.0.1"
    other = Hub("127.0.0.2") if sys.platform == "linux" else Hub("127.0.0.1")
    try:
        assert other._listener.getsockname()[0] == other.host != "0.0.0.0"
        if other.host != hub.host:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((hub.host, other.port), timeout=5)
    finally:
        other.close()


def test_a_wrong_secret_is_refused_before_anything_is_read(hub):
    made, events = connect(hub, secret=b"x" * 32)
    assert isinstance(made["error"], ChannelError | OSError)
    assert events == []
    assert connect(hub)[1] == [(0, {"kind": "hello"})], "the hub goes on"


def test_a_worker_refuses_a_hub_that_does_not_know_the_secret():
    listener = socket.create_server(("127.0.0.1", 0))

    def pretend():
        connection, _ = listener.accept()
        connection.sendall(b"n" * 16)
        connection.recv(100)
        connection.sendall(b"p" * 32)

    threading.Thread(target=pretend, daemon=True).start()
    with pytest.raises(ChannelError, match="does not know the secret"):
        Channel("127.0.0.1", listener.getsockname()[1], b"s" * 32, 0)
    listener.close()


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n" * 5, b"\x80\x04cos\nsystem\n" + b"x" * 60, b""])
def test_strangers_are_closed_without_an_answer(hub, noise):
    with socket.create_connection((hub.host, hub.port)) as stranger:
        drain(hub, 1, 0.1)
        stranger.sendall(noise) if noise else stranger.shutdown(socket.SHUT_WR)
        assert drain(hub, 1, 0.2) == []
        stranger.settimeout(5)
        assert len(stranger.recv(100)) == 16, "the nonce, then nothing"
        with contextlib.suppress(ConnectionResetError):  # the system's word for what was never read
            assert stranger.recv(100) == b""


def test_two_workers_of_one_number_are_not_accepted(hub):
    first = connect(hub, 3)
    made, events = connect(hub, 3)
    assert "error" in made
    assert hub.send(3, {}), first
    assert events == []


def test_forged_replayed_and_overlong_frames_end_the_connection(hub):
    body = json.dumps({"kind": "done"}).encode()
    for number, forged in enumerate(
        [
            struct.pack(">I", len(body)) + b"m" * 16 + body,
            struct.pack(">I", MAX_FRAME + 1),
            None,
        ]
    ):
        channel = connect(hub, number)[0]["channel"]
        if forged is None:
            frame = channel._writer.frame({"kind": "step"})
            forged = frame + frame
        channel._socket.sendall(forged)
        events = drain(hub, 2 if number == 2 else 1)
        assert events[-1] == (number, None)
        assert [message for _, message in events[:-1]] == ([{"kind": "step"}] if number == 2 else [])


def test_a_message_that_is_too_long_is_named(hub):
    channel = connect(hub)[0]["channel"]
    with pytest.raises(ChannelError, match=r"reporter\.directory"):
        channel.send({"weights": "x" * MAX_FRAME})

"""Record batches: what producers write is read back, and nothing else gets through."""

from __future__ import annotations

import struct

import google_crc32c
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from online_tools import CODECS, batch_bytes, pack, zigzag

from deepcube.embedded.online.errors import ProtocolError
from deepcube.embedded.online.records import parse_batches, unpack

names = st.text(st.characters(codec="utf-8"), max_size=12)
records = st.lists(
    st.tuples(st.binary(max_size=60), st.dictionaries(names, st.binary(max_size=20), max_size=3)), max_size=20
)


@given(
    records, st.sampled_from(sorted(CODECS)), st.tuples(st.integers(-1, 2**62), st.integers(-1, 9), st.integers(-1, 99))
)
def test_what_a_producer_writes_is_read(sent, codec, producer):
    (batch,) = parse_batches(batch_bytes(sent, codec, producer))
    assert batch.records == sent
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == producer


def test_several_batches_in_one_request():
    content = batch_bytes([(b"a", {})]) + batch_bytes([(b"b", {"x": b"1"}), (b"c", {"x": b"1"})])
    first, second = parse_batches(content)
    assert first.records == [(b"a", {})]
    assert [value for value, _ in second.records] == [b"b", b"c"]
    assert second.records[0][1] is second.records[1][1]  # equal headers are parsed once


@given(records.filter(bool), st.sampled_from(sorted(CODECS)), st.data())
def test_damage_is_seen(sent, codec, data):
    content = bytearray(batch_bytes(sent, codec))
    place = data.draw(st.integers(17, len(content) - 1))  # offset, length, epoch and format stand before the checksum
    content[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        parse_batches(bytes(content))


@given(records.filter(bool), st.sampled_from(sorted(CODECS)), st.data())
def test_a_part_of_a_batch_is_refused(sent, codec, data):
    content = batch_bytes(sent, codec)
    with pytest.raises(ProtocolError):
        parse_batches(content[: data.draw(st.integers(1, len(content) - 1))])


@given(st.binary(max_size=200))
def test_noise_is_refused_or_empty(noise):
    try:
        assert parse_batches(noise) == []
        assert noise == b""
    except ProtocolError:
        pass


@given(st.binary(max_size=100), st.sampled_from(sorted(CODECS)), st.integers(0, 30))
def test_noise_with_a_right_checksum_is_refused_or_read(noise, codec, count):
    content = bytearray(batch_bytes([(b"", {})] * count, codec, content=noise))
    try:
        (batch,) = parse_batches(bytes(content))
        assert len(batch.records) == count
    except ProtocolError:
        pass


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_small_batch_cannot_fill_the_memory(codec):
    bomb = pack(bytes(2**22), codec)
    assert len(bomb) < 2**18
    assert len(unpack(bomb, CODECS[codec], limit=2**22)) == 2**22
    with pytest.raises(ProtocolError, match="larger than"):
        unpack(bomb, CODECS[codec], limit=2**20)


def test_snappy_with_the_framing_of_java_clients():
    parts = [b"one" * 50, b"two" * 50]
    blocks = [bytes(pa.Codec("snappy").compress(part, asbytes=True)) for part in parts]
    framed = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(b)) + b for b in blocks)
    assert unpack(framed, CODECS["snappy"]) == b"".join(parts)
    with pytest.raises(ProtocolError):
        unpack(framed[:-3], CODECS["snappy"])


@pytest.mark.parametrize("size", [0, -1, -5, 2**31 - 1])
def test_a_record_with_an_impossible_length_is_refused(size):
    with pytest.raises(ProtocolError):
        parse_batches(batch_bytes([(b"x", {})], content=zigzag(size) + bytes(10)))


def test_older_formats_and_control_batches_are_refused():
    content = bytearray(batch_bytes([(b"x", {})]))
    content[16] = 1
    with pytest.raises(ProtocolError, match="format 1"):
        parse_batches(bytes(content))
    content = bytearray(batch_bytes([(b"x", {})]))
    content[21:23] = struct.pack(">h", 0x20)
    content[17:21] = struct.pack(">I", google_crc32c.value(bytes(content[21:])))
    with pytest.raises(ProtocolError, match="control"):
        parse_batches(bytes(content))

"""DTLS over an in-memory path, against aiortc's own transport."""

from __future__ import annotations

import asyncio

import pytest
from aiortc.rtcdtlstransport import SRTP_AEAD_AES_128_GCM, RTCCertificate
from dtls_pair import Ours, Pair, fingerprints_of
from OpenSSL import SSL

from sfu.config import DtlsConfig
from sfu.dtls import DatagramInbox, DtlsIdentity, split_flight


@pytest.fixture(scope="module")
def identity() -> DtlsIdentity:
    return DtlsIdentity()


@pytest.mark.parametrize("ours_is_client", [True, False])
async def test_keys_are_exported_with_gcm_preferred(
    identity: DtlsIdentity, ours_is_client: bool
) -> None:
    pair = Pair(identity, ours_is_client=ours_is_client)
    pair.peer._srtp_profiles = pair.ours.dtls._srtp_profiles
    await pair.connect()
    assert pair.ours.states == ["connecting", "connected"]
    [(profile, receive_key, send_key)] = pair.ours.keys
    assert profile == "AEAD_AES_128_GCM"
    material = pair.peer._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 56)
    client, server = material[:16] + material[32:44], material[16:32] + material[44:56]
    expected = (server, client) if ours_is_client else (client, server)
    assert (receive_key, send_key) == expected
    assert pair.ours.dtls._rx_srtp is None and pair.ours.dtls._tx_srtp is None
    assert pair.ours.counters["dtls_handshake_connected"] == 1
    await pair.close()


async def test_peer_without_gcm_gets_cm_sha1_80(identity: DtlsIdentity) -> None:
    pair = Pair(identity, ours_is_client=False)
    pair.peer._srtp_profiles = pair.ours.dtls._srtp_profiles[1:]
    await pair.connect()
    [(profile, receive_key, send_key)] = pair.ours.keys
    assert (profile, len(receive_key), len(send_key)) == ("AES_CM_128_HMAC_SHA1_80", 30, 30)
    await pair.close()


async def test_wrong_fingerprint_fails(identity: DtlsIdentity) -> None:
    pair = Pair(identity, ours_is_client=False)
    wrong = fingerprints_of(RTCCertificate.generateCertificate())
    await pair.connect(wrong)
    assert pair.ours.states[-1] == "failed"
    assert not pair.ours.keys
    assert pair.ours.counters["dtls_fingerprint_mismatch"] == 1
    await pair.close()


async def test_unknown_hash_only_fails(identity: DtlsIdentity) -> None:
    pair = Pair(identity, ours_is_client=False)
    await pair.connect([("md5", "AA:BB")])
    assert pair.ours.states[-1] == "failed" and not pair.ours.keys
    await pair.close()


async def test_handshake_has_a_time_limit(identity: DtlsIdentity) -> None:
    ours = Ours(identity, lambda data: None, DtlsConfig(handshake_timeout_s=0.01))
    await ours.dtls.run([("sha-256", "AA")], is_client=True)
    assert ours.states == ["connecting", "failed"]
    assert ours.counters["dtls_handshake_timeout"] == 1
    await ours.dtls.stop()


async def test_unanswered_flight_is_sent_again_before_openssl_would(identity: DtlsIdentity) -> None:
    config = DtlsConfig(handshake_timeout_s=10.0, resend_delays_s=(0.01, 0.01))
    pair = Pair(identity, ours_is_client=True, config=config)
    lost: list[bytes] = []
    pair.drop = lambda data: len(lost) < 1 and not lost.append(data)
    async with asyncio.timeout(0.9):
        await pair.connect()
    # The same hello under another record number.
    assert pair.sent[1] != pair.sent[0]
    assert pair.sent[1][13:] == pair.sent[0][13:]
    assert pair.ours.counters["dtls_flight_resent"] >= 1
    assert pair.ours.states[-1] == "connected"
    await pair.close()


async def test_close_notify_ends_the_peer(identity: DtlsIdentity) -> None:
    pair = Pair(identity, ours_is_client=False)
    await pair.connect()
    await pair.ours.dtls.stop()
    async with asyncio.timeout(1):
        while pair.peer.state != "closed":
            await asyncio.sleep(0)
    await pair.peer.stop()


async def test_peers_close_notify_ends_ours(identity: DtlsIdentity) -> None:
    pair = Pair(identity, ours_is_client=False)
    await pair.connect()
    await pair.peer.stop()
    async with asyncio.timeout(1):
        while pair.ours.states[-1] != "closed":
            await asyncio.sleep(0)
    await pair.ours.dtls.stop()


async def test_several_records_in_one_datagram_are_all_read(identity: DtlsIdentity) -> None:
    pair = Pair(identity, ours_is_client=False)
    await pair.connect()
    got: list[bytes] = []

    class Receiver:
        async def _handle_data(self, data: bytes) -> None:
            got.append(data)

    pair.ours.dtls._register_data_receiver(Receiver())
    for payload in (b"one", b"two", b"three"):
        pair.peer._ssl.send(payload)
    pair.ours.inbox.push(pair.peer._ssl.bio_read(4000))
    async with asyncio.timeout(1):
        while len(got) < 3:
            await asyncio.sleep(0)
    assert got == [b"one", b"two", b"three"]
    await pair.close()


async def test_garbage_is_counted_and_survived(identity: DtlsIdentity) -> None:
    pair = Pair(identity, ours_is_client=False)
    await pair.connect()
    for data in (b"\x00" * 20, b"\x16" * 100, b"\x17\xfe\xfd" + b"\xff" * 50, b"\x80" * 12):
        pair.ours.inbox.push(data)
    for _ in range(20):
        await asyncio.sleep(0)
    assert pair.ours.states[-1] == "connected"
    assert pair.ours.counters["dtls_not_dtls"] == 2
    await pair.close()


def client_hello(*, mtu: int) -> tuple[SSL.Connection, list[bytes]]:
    certificate = RTCCertificate.generateCertificate()
    context = certificate._create_ssl_context(srtp_profiles=[SRTP_AEAD_AES_128_GCM])
    context.set_options(SSL.OP_NO_QUERY_MTU)
    # A long ALPN list does what the 1216-byte key share of X25519MLKEM768 does to a browser's
    # hello: it no longer fits one record.
    context.set_alpn_protos([bytes([97 + i]) * 200 for i in range(8)])
    connection = SSL.Connection(context)
    connection.set_ciphertext_mtu(mtu)
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection, split_flight(connection.bio_read(16384), mtu)


@pytest.mark.parametrize("order", ["in order", "reversed", "duplicated"])
async def test_client_hello_of_several_records_as_post_quantum_ones_are(
    identity: DtlsIdentity, order: str
) -> None:
    connection, hello = client_hello(mtu=600)
    assert len(hello) >= 3
    sent: list[bytes] = []
    ours = Ours(identity, sent.append)
    task = asyncio.create_task(ours.dtls.run([("sha-256", "AA")], is_client=False))
    pieces = {"in order": hello, "reversed": hello[::-1], "duplicated": hello + hello}[order]
    for piece in pieces:
        ours.inbox.push(piece)
    async with asyncio.timeout(1):
        while not sent:
            await asyncio.sleep(0)
    # The first handshake message back is the ServerHello (2), not a HelloVerifyRequest (3).
    assert sent[0][0] == 22 and sent[0][13] == 2
    task.cancel()
    await asyncio.wait([task])
    await ours.dtls.stop()


def test_flights_are_cut_between_records() -> None:
    record = b"\x16\xfe\xfd" + b"\x00" * 8 + (487).to_bytes(2, "big") + b"x" * 487
    flight = record * 5
    datagrams = split_flight(flight, 1200)
    assert [len(d) for d in datagrams] == [1000, 1000, 500]
    assert b"".join(datagrams) == flight


def test_a_record_larger_than_the_mtu_goes_alone() -> None:
    small = b"\x17\xfe\xfd" + b"\x00" * 8 + (7).to_bytes(2, "big") + b"s" * 7
    large = b"\x17\xfe\xfd" + b"\x00" * 8 + (1400).to_bytes(2, "big") + b"l" * 1400
    assert split_flight(small + large + small, 1200) == [small, large, small]
    assert split_flight(b"", 1200) == []


async def test_inbox_is_bounded_and_ends_readers() -> None:
    inbox = DatagramInbox(lambda data: None, max_queued=2)
    assert [inbox.push(b"a"), inbox.push(b"b"), inbox.push(b"c")] == [True, True, False]
    assert inbox.dropped == 1
    assert await inbox.receive(None) == b"a"
    inbox.close()
    assert await inbox.receive(None) == b"b"
    with pytest.raises(ConnectionError):
        await inbox.receive(None)


async def test_server_flight_respects_the_mtu(identity: DtlsIdentity) -> None:
    config = DtlsConfig(mtu_bytes=300)
    pair = Pair(identity, ours_is_client=False, config=config)
    await pair.connect()
    handshake = [data for data in pair.sent if data[0] == 22]
    assert max(map(len, handshake)) <= 300 and len(handshake) > 2
    await pair.close()

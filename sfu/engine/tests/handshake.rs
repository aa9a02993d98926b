//! DTLS that comes inside ICE checks: handed over once, acknowledged as long as the peer asks.

use std::net::SocketAddr;

use aislecast_engine::api::{Command, Event, Local, Micros, Path, SrtpProfile, TransportId};
use aislecast_engine::core::{Core, Egress};
use aislecast_engine::wire::stun::{
    BindingRequest, Carried, IceRole, StunClass, StunKey, StunMessage, crc32, write_binding_request,
};

const PASSWORD: &str = "password-of-the-server";
const HELLO: [u8; 40] = [22; 40];
const FINISHED: [u8; 41] = [22; 41];

/// Class, and what it carried: a datagram, receipts.
type Answer = (StunClass, Option<Vec<u8>>, Option<Vec<u8>>);

#[derive(Default)]
struct Outbox(Vec<Vec<u8>>);

impl Egress for Outbox {
    fn send(&mut self, _path: Path, data: &[u8], _segment: Option<usize>) {
        self.0.push(data.to_vec());
    }
}

struct Stage {
    core: Core,
    now: Micros,
    transaction: u8,
}

impl Stage {
    fn new() -> Stage {
        let mut core = Core::new(1);
        core.apply(
            0,
            Command::AddTransport {
                transport: TransportId(1),
                local_ufrag: "server".into(),
                local_pwd: PASSWORD.into(),
            },
        );
        Stage { core, now: 1_000_000, transaction: 0 }
    }

    fn path() -> Path {
        Path { local: Local::Udp(0), remote: SocketAddr::from(([192, 0, 2, 1], 4000)) }
    }

    /// Sends a check; returns its answer, and what it carried of the handshake.
    fn check(&mut self, carried: Carried<'_>) -> Answer {
        self.check_with(carried, PASSWORD).expect("an answer")
    }

    fn check_with(&mut self, carried: Carried<'_>, password: &str) -> Option<Answer> {
        self.now += 50_000;
        self.transaction += 1;
        let request = BindingRequest {
            transaction_id: [self.transaction; 12],
            username: "server:browser",
            priority: 1,
            role: IceRole::Controlling(1),
            is_use_candidate: true,
            carried,
        };
        let mut data = [0; 1400];
        let key = StunKey::new(password.as_bytes());
        let len = write_binding_request(&mut data, &request, &key).expect("room");
        self.core.handle_datagram(self.now, Stage::path(), &mut data[..len]);
        let mut outbox = Outbox::default();
        self.core.flush(self.now, &mut outbox);
        let answer = outbox.0.pop()?;
        let answer = StunMessage::parse(&answer).expect("STUN");
        assert!(answer.verify_integrity(&key));
        let bytes = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
        Some((answer.class, bytes(answer.carried.dtls), bytes(answer.carried.receipts)))
    }

    fn handed_over(&mut self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while let Some(event) = self.core.poll_event() {
            if let Event::Dtls { data, .. } = event {
                found.push(data);
            }
        }
        found
    }
}

fn receipts(flights: &[&[u8]]) -> Option<Vec<u8>> {
    Some(flights.iter().flat_map(|data| crc32(data).to_be_bytes()).collect())
}

fn carrying(dtls: &[u8]) -> Carried<'_> {
    Carried { dtls: Some(dtls), receipts: Some(&[]) }
}

#[test]
fn a_flight_in_a_check_is_handed_over_once_and_acknowledged() {
    let mut stage = Stage::new();
    let none = Carried { dtls: None, receipts: Some(&[]) };
    // Nothing came yet, but the peer must hear that we know of it: silence would switch it off.
    assert_eq!(stage.check(none), (StunClass::Success, Some(vec![]), receipts(&[])));
    // It repeats what it has no receipt for; ours may be lost as well.
    for _ in 0..3 {
        let answer = stage.check(carrying(&HELLO));
        assert_eq!(answer, (StunClass::Success, Some(vec![]), receipts(&[&HELLO])));
    }
    assert_eq!(stage.handed_over(), [HELLO]);
    assert_eq!(stage.core.counters().dtls_carried, 1);
    // What comes on its own is acknowledged too.
    stage.core.handle_datagram(stage.now, Stage::path(), &mut FINISHED.clone());
    assert_eq!(stage.check(none).2, receipts(&[&HELLO, &FINISHED]));
    assert_eq!(stage.handed_over(), [FINISHED.to_vec()]);
}

#[test]
fn once_there_are_keys_only_receipts_are_sent_and_at_the_end_nothing() {
    let mut stage = Stage::new();
    stage.check(carrying(&HELLO));
    stage.core.apply(
        stage.now,
        Command::SetSrtp {
            transport: TransportId(1),
            profile: SrtpProfile::AeadAes128Gcm,
            receive_key: vec![1; 28],
            send_key: vec![2; 28],
        },
    );
    let answer = stage.check(carrying(&FINISHED));
    assert_eq!(answer, (StunClass::Success, None, receipts(&[&HELLO, &FINISHED])));
    assert_eq!(stage.check(Carried::default()), (StunClass::Success, None, None));
}

#[test]
fn strangers_and_garbage_bring_nothing_in() {
    let mut stage = Stage::new();
    // Who does not know the password is not even answered.
    assert_eq!(stage.check_with(carrying(&HELLO), "a guess"), None);
    // Media, STUN and noise are no DTLS, whatever the attribute says.
    for garbage in [&[128; 40][..], &[0; 40], &[255; 3], &[]] {
        assert_eq!(stage.check(carrying(garbage)).2, receipts(&[]));
    }
    assert!(stage.handed_over().is_empty());
    // A peer that does not do it gets the answer that it always got.
    assert_eq!(stage.check(Carried::default()), (StunClass::Success, None, None));
}

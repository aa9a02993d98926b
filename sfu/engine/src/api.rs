//! What the outside says to the core and hears from it: identifiers, commands, events, rows.
//!
//! Everything here is plain data. Identifiers are chosen by the caller, never reused within a
//! process; a command that names a dead one is a counted no-op.

use std::net::SocketAddr;

/// Microseconds on a monotonic clock that starts near zero with the engine.
pub type Micros = u64;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);
    };
}
id!(
    /// One remote ICE/DTLS association (a peer connection).
    TransportId
);
id!(
    /// One published track: a camera, microphone or screen, with all its encodings.
    SourceId
);
id!(
    /// One subscription of one transport to one source.
    SinkId
);
id!(
    /// One reader of complete frames of a source.
    TapId
);

/// Where a datagram came from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Which local socket or connection carries it.
    pub local: Local,
    /// The far end.
    pub remote: SocketAddr,
}

/// A local end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Local {
    /// Index of a bound UDP socket (one per address family).
    Udp(u8),
    /// An accepted ICE-TCP connection; the number is never reused.
    Tcp(u32),
}

/// What a payload type carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// RFC 7587, 48 kHz.
    Opus = 1,
    /// RFC 2198 around Opus, 48 kHz.
    Red = 2,
    /// RFC 7741, 90 kHz.
    Vp8 = 3,
    /// RFC 6184, 90 kHz.
    H264 = 4,
    /// RFC 9628, 90 kHz; forwarded whole.
    Vp9 = 5,
    /// AV1 RTP payload, 90 kHz; forwarded whole.
    Av1 = 6,
}

impl Codec {
    /// RTP clock rate in Hz.
    pub fn clock_hz(self) -> u32 {
        if self.is_audio() { 48_000 } else { 90_000 }
    }

    /// Opus or RED.
    pub fn is_audio(self) -> bool {
        matches!(self, Codec::Opus | Codec::Red)
    }
}

/// Negotiated RTP header extension ids of one transport; 0 = not negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtMap {
    /// urn:ietf:params:rtp-hdrext:sdes:mid
    pub mid: u8,
    /// urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
    pub rid: u8,
    /// urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
    pub repaired_rid: u8,
    /// urn:ietf:params:rtp-hdrext:ssrc-audio-level (RFC 6464)
    pub audio_level: u8,
    /// transport-wide-cc-01
    pub twcc: u8,
    /// abs-send-time
    pub abs_send_time: u8,
    /// abs-capture-time
    pub abs_capture_time: u8,
    /// urn:3gpp:video-orientation
    pub video_orientation: u8,
    /// AV1 dependency descriptor
    pub dependency: u8,
}

/// One payload type of a transport or sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Payload type, 0..=127.
    pub pt: u8,
    /// What it carries.
    pub codec: Codec,
    /// Payload type of its RTX stream; 0 = none.
    pub rtx_pt: u8,
}

/// SRTP protection profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpProfile {
    /// AEAD_AES_128_GCM, RFC 7714: key 16, salt 12 bytes.
    AeadAes128Gcm,
    /// AES_CM_128_HMAC_SHA1_80, RFC 3711: key 16, salt 14 bytes.
    AesCm128HmacSha1_80,
}

/// One encoding (simulcast layer) of a source, lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodingConfig {
    /// rtp-stream-id, or empty when the encoding has none.
    pub rid: String,
    /// SSRC if the peer declared it, else 0 and learned from mid/rid.
    pub ssrc: u32,
    /// SSRC of its RTX stream if declared, else 0.
    pub rtx_ssrc: u32,
}

/// A published track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Its m-section on the transport.
    pub mid: String,
    /// Audio or video.
    pub is_audio: bool,
    /// Encodings, lowest first; at least one, at most three.
    pub encodings: Vec<EncodingConfig>,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// SSRC that the subscriber was told; kept for the whole session.
    pub ssrc: u32,
    /// SSRC of the RTX stream; 0 = no RTX.
    pub rtx_ssrc: u32,
    /// m-section on the subscriber's transport; sent while `ExtMap::mid` is negotiated.
    pub mid: String,
    /// What this subscriber can take, one entry a codec.
    pub payloads: Vec<Payload>,
}

/// Which layers a sink should get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Index into the source's encodings; the next lower active one is used where it is not sent.
    pub spatial: u8,
    /// Highest temporal layer forwarded; 7 = all.
    pub temporal: u8,
    /// Nothing is forwarded while set.
    pub paused: bool,
}

/// An order to the core.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are named after the types they carry
pub enum Command {
    /// Makes a transport that answers STUN for `local_ufrag`.
    AddTransport { transport: TransportId, local_ufrag: String, local_pwd: String },
    /// ICE restart: new local credentials. The old ones stay valid until a check with the new ones succeeds.
    RestartIce { transport: TransportId, local_ufrag: String, local_pwd: String },
    /// The remote ufrag, checked in the STUN username when known.
    SetRemoteIce { transport: TransportId, remote_ufrag: String, remote_pwd: String },
    /// Header extensions and payload types that the peer may send and we may send to it.
    SetMedia { transport: TransportId, extensions: ExtMap, payloads: Vec<Payload> },
    /// Installs SRTP keys (key followed by salt) after the DTLS handshake.
    SetSrtp {
        transport: TransportId,
        profile: SrtpProfile,
        receive_key: Vec<u8>,
        send_key: Vec<u8>,
    },
    /// One DTLS datagram (or one flight piece) to the peer's selected address.
    SendDtls { transport: TransportId, data: Vec<u8> },
    /// Ends a transport with its sources and sinks.
    RemoveTransport { transport: TransportId },
    /// A published track; `transport` None = fed by `PushFrame`.
    AddSource { source: SourceId, transport: Option<TransportId>, config: SourceConfig },
    /// While muted nothing is forwarded and arriving media is dropped.
    MuteSource { source: SourceId, muted: bool },
    /// Ends a track; its sinks stay, silent, until removed.
    RemoveSource { source: SourceId },
    /// A subscription. Starts paused=false at the given layers.
    AddSink {
        sink: SinkId,
        transport: TransportId,
        source: SourceId,
        config: SinkConfig,
        layers: Layers,
    },
    /// New layer orders.
    SetLayers { sink: SinkId, layers: Layers },
    /// What the link to a peer is believed to carry, for everything sent to it. Video and
    /// retransmissions then wait their turn; audio never does. 0 = no limit, nothing waits.
    SetBudget { transport: TransportId, rate_bps: u32 },
    /// The most that a peer should send, all of it, as its receiver's estimate (REMB). 0 = no limit.
    LimitUplink { transport: TransportId, rate_bps: u32 },
    /// A probe cluster: at most 100 ms and 100 kB at `rate_bps`, evenly spread: waiting media, then
    /// copies of recent packets, then padding. `probe` comes back in the feedback rows.
    Probe { transport: TransportId, probe: u32, rate_bps: u32, duration_us: u32 },
    /// Every video packet of the sink is followed by so many copies (0..=3) on its retransmission
    /// stream, as far as there is room.
    SetProtection { sink: SinkId, copies: u8 },
    /// Ends a subscription.
    RemoveSink { sink: SinkId },
    /// Asks the publisher for a key frame, within the source's budget. `encoding` 255 = all active.
    RequestKeyframe { source: SourceId, encoding: u8 },
    /// Starts a reader of complete frames, best (or lowest) active encoding, switching at key frames
    /// only.
    AddTap { tap: TapId, source: SourceId, max_bytes: u32, is_lowest: bool },
    /// Ends a reader.
    RemoveTap { tap: TapId },
    /// One encoded frame of a local source: VP8 frame, H.264 access unit (Annex B) or Opus packet.
    PushFrame { source: SourceId, encoding: u8, codec: Codec, ts_rtp: u32, data: Vec<u8> },
    /// Audio: earlier frames that each packet carries again as RED, 0 (plain Opus) to 2. Without
    /// effect where the sink has no payload type for RED.
    SetRed { sink: SinkId, num_earlier: u8 },
    /// Audio: of the sources of one group only the loudest are forwarded. 0 = none.
    SetSpeakerGroup { source: SourceId, group: u32 },
    /// How many of a group are forwarded, 1 to 16; 3 before it is told. A group lives as long as it
    /// has members.
    SetGroupSize { group: u32, size: u8 },
    /// Each of these with a budget that shows a queue or losses is told of, once.
    WatchLines { transports: Vec<TransportId> },
}

/// How a transport is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TransportState {
    /// Made, nothing valid heard yet.
    New = 0,
    /// An authenticated check arrived; datagrams can be sent.
    Connected = 1,
    /// Nothing authenticated for 5 s.
    Disconnected = 2,
    /// Nothing authenticated for 30 s.
    Failed = 3,
}

/// News from the core.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Event {
    /// A DTLS datagram from the peer's selected or checked address.
    Dtls { transport: TransportId, data: Vec<u8> },
    /// ICE state or the selected address changed.
    Transport { transport: TransportId, state: TransportState, path: Option<Path> },
    /// First media of an encoding (once per SSRC binding), with what it carries.
    EncodingStarted { source: SourceId, encoding: u8, ssrc: u32, codec: Codec },
    /// First packet of a sink left (once).
    SinkStarted { sink: SinkId },
    /// A tap went from empty to holding frames.
    TapReady { tap: TapId },
    /// A line shows a queue or losses, for the first time since `WatchLines` named it.
    LineRestless { transport: TransportId },
    /// A peer's own line carries much less than it sent: this rate. 0 = it is back.
    UplinkFell { transport: TransportId, rate_bps: u32 },
    /// Somebody needs a key frame of a source that this process feeds.
    KeyWanted { source: SourceId, encoding: u8 },
}

/// A complete frame handed to a tap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapFrame {
    /// RTP timestamp unwrapped from the tap's first frame; codec clock.
    pub ts_rtp_ext: u64,
    /// When its last packet arrived, on the engine's clock.
    pub arrived_us: Micros,
    /// Sender's capture time mapped to the engine's clock by sender reports (arrival before the first one).
    pub captured_us: Micros,
    /// Key frame (always true for audio).
    pub is_key: bool,
    /// Which encoding it came from.
    pub encoding: u8,
    /// What it is.
    pub codec: Codec,
    /// Frames lost (dropped by the tap, or incomplete) since the previous one.
    pub lost_before: u32,
    /// VP8 frame, H.264 access unit in Annex B, or Opus packet; VP9/AV1 never reach a tap.
    pub data: Vec<u8>,
}

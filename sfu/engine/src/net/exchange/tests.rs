use super::*;
use crate::api::{SinkId, SourceId};

fn exchange() -> (mio::Poll, Exchange) {
    let poll = mio::Poll::new().unwrap();
    let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
    (poll, Exchange::new(waker).unwrap())
}

fn frame_of(size: usize) -> Command {
    Command::PushFrame {
        source: SourceId(1),
        encoding: 0,
        codec: crate::api::Codec::Vp8,
        ts_rtp: 0,
        data: vec![0; size],
    }
}

#[test]
fn a_flood_of_frames_is_refused_but_orders_still_pass() {
    let (_poll, exchange) = exchange();
    let size = MAX_COMMAND_BYTES / 4;
    for _ in 0..4 {
        exchange.push_command(frame_of(size)).unwrap();
    }
    assert_eq!(exchange.push_command(frame_of(1)), Err(Refused::Full));
    let order = Command::RemoveSink { sink: SinkId(1) };
    exchange.push_command(order.clone()).unwrap();
    let mut taken = Vec::new();
    assert!(exchange.take_commands(&mut taken));
    assert_eq!((taken.len(), &taken[4]), (5, &order));
    exchange.push_command(frame_of(1)).unwrap();
}

#[test]
fn a_budget_waits_for_the_next_turn_and_other_orders_do_not() {
    let (mut poll, exchange) = exchange();
    let mut events = mio::Events::with_capacity(1);
    let mut is_woken = || {
        poll.poll(&mut events, Some(std::time::Duration::ZERO)).unwrap();
        !events.is_empty()
    };
    let budget = Command::SetBudget { transport: crate::api::TransportId(1), rate_bps: 1 };
    exchange.push_command(budget.clone()).unwrap();
    assert!(!is_woken());
    exchange.push_command(Command::RemoveSink { sink: SinkId(1) }).unwrap();
    assert!(is_woken());
    let mut taken = Vec::new();
    assert!(exchange.take_commands(&mut taken));
    assert_eq!((taken.len(), &taken[0]), (2, &budget));
}

#[test]
fn events_are_bounded_and_dropped_ones_counted() {
    let (_poll, exchange) = exchange();
    let mut dropped = 0;
    let mut pending = vec![Notice::Core(Event::SinkStarted { sink: SinkId(1) }); MAX_EVENTS + 9];
    assert!(exchange.publish_events(&mut pending, &mut dropped));
    assert_eq!((dropped, pending.len()), (9, 0));
    assert_eq!(exchange.drain_events().len(), MAX_EVENTS);
}

#[test]
fn a_flood_of_dtls_leaves_room_for_other_events() {
    let (_poll, exchange) = exchange();
    let dtls = Event::Dtls { transport: crate::api::TransportId(1), data: vec![22] };
    let mut pending = vec![Notice::Core(dtls); MAX_EVENTS];
    pending.push(Notice::Core(Event::SinkStarted { sink: SinkId(1) }));
    let mut dropped = 0;
    assert!(exchange.publish_events(&mut pending, &mut dropped));
    assert_eq!(dropped, (MAX_EVENTS - MAX_DTLS_EVENTS) as u64);
    let last = exchange.drain_events().pop_back();
    assert_eq!(last, Some(Notice::Core(Event::SinkStarted { sink: SinkId(1) })));
}

#[test]
fn the_media_thread_never_waits_for_a_held_lock() {
    let (_poll, exchange) = exchange();
    let _commands = lock(&exchange.commands);
    let _events = lock(&exchange.events);
    let _answers = lock(&exchange.answers);
    exchange.wanted.store(1, Ordering::Release);
    let (mut core, mut counters) = (Core::new(1), NetCounters::default());
    assert!(!exchange.take_commands(&mut Vec::new()));
    assert!(!exchange.publish_events(&mut vec![Notice::Dead], &mut 0));
    assert!(!exchange.answer(&mut core, 0, &mut counters));
}

#[test]
fn a_dead_engine_is_reported_and_refuses_orders() {
    let (_poll, exchange) = exchange();
    exchange.mark_dead(true);
    assert_eq!(exchange.drain_events(), [Notice::Dead]);
    assert_eq!(exchange.push_command(frame_of(1)), Err(Refused::Dead));
    assert!(exchange.snapshot(Kind::Sinks).is_empty());
}

#[test]
fn the_oldest_rows_are_dropped_whole() {
    let mut rows = vec![0; MAX_TWCC_BYTES - MAX_TWCC_BYTES % TWCC_ROW + 3 * TWCC_ROW];
    assert!(drop_oldest_rows(&mut rows) >= 3);
    assert!(rows.len() <= MAX_TWCC_BYTES && rows.len().is_multiple_of(TWCC_ROW));
}

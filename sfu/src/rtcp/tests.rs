use super::*;

fn word(report: &[u8; REPORT_LEN], at: usize) -> u32 {
    u32::from_be_bytes([report[at], report[at + 1], report[at + 2], report[at + 3]])
}

#[test]
fn a_report_counts_loss_since_the_last_one_and_overall() {
    let start = Instant::now();
    let at = |n: u64| start + Duration::from_millis(20 * n);
    let mut reception = Reception::new(start, AUDIO_CLOCK_HZ, 1000, 0);
    // Of indices 1000..=1099 every fourth is lost.
    for n in (1..100).filter(|n| n % 4 != 0) {
        reception.on_packet(at(n), 1000 + n, (960 * n) as u32);
    }
    let mut report = [0; REPORT_LEN];
    reception.write_report(at(100), 7, 9, &mut report);
    assert_eq!((report[0], report[1], report[3]), (0x81, 201, 7));
    assert_eq!((word(&report, 4), word(&report, 8)), (7, 9));
    assert_eq!((report[12], word(&report, 12) & 0xFF_FFFF), (61, 24), "24 of 100");
    assert_eq!((word(&report, 16), word(&report, 20)), (1099, 0), "evenly spaced packets have no jitter");
    // Nothing is lost in the second interval.
    for n in 100..150 {
        reception.on_packet(at(n), 1000 + n, (960 * n) as u32);
    }
    reception.write_report(at(150), 7, 9, &mut report);
    assert_eq!((report[12], word(&report, 12) & 0xFF_FFFF), (0, 24));
}

#[test]
fn the_jitter_estimate_approaches_the_real_one_and_a_pause_does_not_disturb_it() {
    let start = Instant::now();
    let mut reception = Reception::new(start, AUDIO_CLOCK_HZ, 0, 0);
    for n in 1..500u64 {
        // Alternately on time and 5 ms late: each difference is 5 ms, 240 ticks.
        let late = Duration::from_millis(if n % 2 == 0 { 0 } else { 5 });
        reception.on_packet(start + Duration::from_millis(20 * n) + late, n, (960 * n) as u32);
    }
    // The speaker's clock stood still for ten seconds.
    reception.on_packet(start + Duration::from_secs(20), 500, 960 * 500);
    let mut report = [0; REPORT_LEN];
    reception.write_report(start + Duration::from_secs(20), 1, 2, &mut report);
    assert!((230..=245).contains(&word(&report, 20)), "{}", word(&report, 20));
}

#[test]
fn the_round_trip_fields_repeat_the_sender_report_and_its_age() {
    let start = Instant::now();
    let mut reception = Reception::new(start, AUDIO_CLOCK_HZ, 0, 0);
    let mut compound = vec![0x80, 201, 0, 1, 0, 0, 0, 5];
    compound.extend([0x80, 200, 0, 6, 0, 0, 0, 5, 0, 0, 0x11, 0x22, 0x33, 0x44, 0, 0]);
    compound.extend([0; 12]);
    let (ssrc, ntp) = find_sender_report(&compound).expect("it is the second packet");
    assert_eq!((ssrc, ntp), (5, 0x1122_3344));
    reception.on_sender_report(start, ntp);
    let mut report = [0; REPORT_LEN];
    reception.write_report(start + Duration::from_millis(500), 1, 5, &mut report);
    assert_eq!((word(&report, 24), word(&report, 28)), (0x1122_3344, 32_768));
}

#[test]
fn broken_compounds_hold_no_report() {
    for broken in [&[][..], &[0x80, 200, 0, 6, 0, 0, 0, 5], &[0x80, 200, 0xFF, 0xFF, 0, 0, 0, 5], &[0x80, 200, 0, 1, 0, 0, 0, 5]]
    {
        assert_eq!(find_sender_report(broken), None);
    }
}

#[test]
fn a_sender_report_is_answered_with_the_round_trip() {
    let stream = SentStream { ssrc: 7, timestamp: 48_000, packets: 50, octets: 4_000 };
    let sent = ntp(Duration::from_millis(10_250));
    let mut report = [0; SENDER_REPORT_LEN];
    write_sender_report(&stream, sent, &mut report);
    let (ssrc, middle) = find_sender_report(&report).expect("our own form");
    assert_eq!((ssrc, middle), (7, (sent >> 16) as u32));
    assert_eq!(middle & 0xFFFF, 1 << 14, "a quarter of a second");
    // The client answers 100 ms after it came; each way takes 20 ms.
    let start = Instant::now();
    let mut reception = Reception::new(start, AUDIO_CLOCK_HZ, 1, 0);
    reception.on_sender_report(start, middle);
    let mut answer = [0; REPORT_LEN];
    assert_eq!(reception.write_report(start + Duration::from_millis(100), 9, 7, &mut answer), (1, 0));
    let mut blocks = Vec::new();
    for_each_block(&[&report[..], &answer].concat(), |block| blocks.push(block));
    let [block] = blocks[..] else { panic!("one block: {blocks:?}") };
    assert_eq!((block.about, block.fraction_lost), (7, 0));
    let round_trip = block.round_trip(ntp(Duration::from_millis(10_390))).expect("it answers a report");
    assert!(round_trip.abs_diff(Duration::from_millis(40)) < Duration::from_millis(1), "{round_trip:?}");
    assert_eq!(block.round_trip(ntp(Duration::from_millis(10_300))), None, "before it could be");
}

#[test]
fn broken_reports_have_the_blocks_that_fit() {
    let mut count = 0;
    // Thirty-one blocks are announced, one is there; then a length that reaches too far.
    let mut report = [0x9F, 201, 0, 7].to_vec();
    report.resize(32, 1);
    for_each_block(&report, |_| count += 1);
    assert_eq!(count, 1);
    report[3] = 200;
    for_each_block(&report, |_| count += 1);
    for_each_block(&[0x81, 201, 0, 0, 1, 2, 3, 4, 0x81, 201, 0, 0], |_| count += 1);
    assert_eq!(count, 1);
}

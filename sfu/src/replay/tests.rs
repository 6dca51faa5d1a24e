use super::*;

/// Feeds sequence numbers; each expectation is the index it gets, or `None` when it is refused.
fn check(first_rollover: u32, script: &[(u16, Option<u64>)]) {
    let mut window = ReplayWindow::new(first_rollover);
    for (step, &(sequence, expected)) in script.iter().enumerate() {
        let got = window.estimate(sequence).filter(|&index| window.is_fresh(index));
        assert_eq!(got, expected, "step {step}: sequence {sequence}");
        if let Some(index) = got {
            window.accept(index);
        }
    }
}

#[test]
fn a_packet_is_taken_once_in_any_order() {
    check(0, &[(10, Some(10)), (12, Some(12)), (11, Some(11)), (11, None), (10, None), (12, None), (13, Some(13))]);
}

#[test]
fn the_rollover_counts_up_and_late_packets_of_the_old_round_keep_theirs() {
    check(0, &[(65534, Some(65534)), (1, Some(65537)), (65535, Some(65535)), (0, Some(65536)), (65535, None)]);
}

#[test]
fn a_packet_older_than_the_window_is_refused_and_one_at_its_edge_is_not() {
    check(0, &[(1000, Some(1000)), (1000 - 127, Some(1000 - 127)), (1000 - 128, None)]);
}

#[test]
fn a_jump_wider_than_the_window_forgets_everything_before() {
    check(0, &[(1, Some(1)), (2, Some(2)), (5000, Some(5000)), (4999, Some(4999)), (4999, None), (2, None)]);
}

#[test]
fn before_the_first_packet_there_is_nothing_unless_the_count_starts_higher() {
    check(0, &[(2, Some(2)), (65535, None)]);
    check(NATIVE_FIRST_ROLLOVER, &[(2, Some(65538)), (65535, Some(65535)), (65535, None)]);
}

#[test]
fn an_estimate_alone_changes_nothing() {
    let mut window = ReplayWindow::new(0);
    window.accept(100);
    for sequence in 0..=u16::MAX {
        let _ = window.estimate(sequence);
    }
    assert_eq!(window.highest(), Some(100));
    assert!(window.is_fresh(99) && !window.is_fresh(100));
}

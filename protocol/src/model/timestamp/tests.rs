//! Dates against known ones, against a calendar that counts days one by one, and against whatever a client may send.

use super::*;
use proptest::prelude::*;

/// The last millisecond of the year 9999: the four-digit years end there.
const LAST_MS: u64 = 253_402_300_799_999;

#[test]
fn known_moments_are_written_and_read() {
    for (unix_ms, text) in [
        (0, "1970-01-01T00:00:00.000000+00:00"),
        (951_782_399_999, "2000-02-28T23:59:59.999000+00:00"),
        (951_782_400_000, "2000-02-29T00:00:00.000000+00:00"),
        (951_868_800_000, "2000-03-01T00:00:00.000000+00:00"),
        (1_420_070_400_000, "2015-01-01T00:00:00.000000+00:00"),
        (1_462_015_105_796, "2016-04-30T11:18:25.796000+00:00"),
        (1_709_208_000_000, "2024-02-29T12:00:00.000000+00:00"),
        (1_735_689_599_000, "2024-12-31T23:59:59.000000+00:00"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000000+00:00"),
        (LAST_MS, "9999-12-31T23:59:59.999000+00:00"),
    ] {
        assert_eq!(timestamp(unix_ms), text);
        assert_eq!(parse_timestamp(text), Some(unix_ms), "{text}");
    }
}

#[test]
fn every_day_of_eight_centuries_is_the_one_after_the_day_before() {
    let (mut year, mut month, mut day) = (1970, 1, 1);
    for days in 0..800 * 366 {
        assert_eq!(timestamp(days * 86_400_000)[..10], format!("{year:04}-{month:02}-{day:02}"));
        let is_leap = year % 400 == 0 || (year % 4 == 0 && year % 100 != 0);
        let last = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1];
        (year, month, day) = match (month, day) {
            (12, 31) => (year + 1, 1, 1),
            _ if day == last => (year, month + 1, 1),
            _ => (year, month, day + 1),
        };
    }
}

#[test]
fn the_variants_that_libraries_write_are_read() {
    for text in [
        "2026-11-21T10:20:30.123Z",                // JavaScript
        "2026-11-21T10:20:30.123456+00:00",        // Python
        "2026-11-21T10:20:30.123456789Z",          // Rust, Go
        "2026-11-21T10:20:30.123",                 // no zone: UTC
        "2026-11-21 10:20:30.123Z",                // a space, as RFC 3339 allows
        "2026-11-21t10:20:30.123z",                // lower case, likewise
        "2026-11-21T15:50:30.123+05:30",           // east
        "2026-11-21T15:50:30.123+0530",            // east, the basic form
        "2026-11-20T23:20:30.123-11:00",           // west, the day before
        "2026-11-21T10:20:30.1239999999999999999", // more digits than any clock has
    ] {
        assert_eq!(parse_timestamp(text), Some(1_795_256_430_123), "{text}");
    }
    assert_eq!(parse_timestamp("2026-11-21T10:20:30Z"), Some(1_795_256_430_000));
    assert_eq!(parse_timestamp("2026-11-21T10:20:30.1Z"), Some(1_795_256_430_100));
    assert_eq!(parse_timestamp("2026-11-21T10:20:30.12Z"), Some(1_795_256_430_120));
    assert_eq!(parse_timestamp("2016-12-31T23:59:60Z"), Some(1_483_228_800_000), "a leap second");
}

#[test]
fn what_is_not_a_date_is_refused() {
    for text in [
        "",
        "now",
        "1795256430123",
        "2026-11-21",
        "2026-11-21T10:20",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00-00-00Z",
        "+026-01-01T00:00:00Z",
        "2026-+1-01T00:00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00 Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+00:60",
        "2026-01-01T00:00:00+-1:00",
        "2026-01-01T00:00:00+1:00",
        "2026-01-01T00:00:00+9223372036854775807:00",
        "2026-01-01T00:00:00Zulu",
        "2026-01-01T00:00:0\u{661}Z",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "1970-01-01T00:00:00+00:01",
    ] {
        assert_eq!(parse_timestamp(text), None, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_moment_survives_the_wire(unix_ms in 0..=LAST_MS) {
        prop_assert_eq!(parse_timestamp(&timestamp(unix_ms)), Some(unix_ms));
    }

    #[test]
    fn the_order_of_texts_is_the_order_of_moments(a in 0..=LAST_MS, b in 0..=LAST_MS) {
        prop_assert_eq!(timestamp(a).cmp(&timestamp(b)), a.cmp(&b));
    }

    #[test]
    fn an_offset_is_taken_off(unix_ms in 86_400_000..=LAST_MS - 86_400_000, hours in 0u64..24, minutes in 0u64..60) {
        let shift = (hours * 60 + minutes) * 60_000;
        let local = |unix_ms: u64, sign: char| format!("{}{sign}{hours:02}:{minutes:02}", &timestamp(unix_ms)[..26]);
        prop_assert_eq!(parse_timestamp(&local(unix_ms + shift, '+')), Some(unix_ms));
        prop_assert_eq!(parse_timestamp(&local(unix_ms - shift, '-')), Some(unix_ms));
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*", almost in "[0-9+-]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{0,12})?([+-][0-9]{0,20}:?[0-9]{0,20}|Z)?") {
        let _ = parse_timestamp(&text);
        if let Some(unix_ms) = parse_timestamp(&almost) {
            prop_assert!(unix_ms <= LAST_MS + 86_400_000);
        }
    }
}

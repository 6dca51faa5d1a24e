//! ISO 8601 timestamps in the form `2026-11-21T10:20:30.123000+00:00`, which every client library parses.

#[cfg(test)]
mod tests;

/// Formats Unix milliseconds. Proleptic Gregorian calendar, always UTC.
pub fn timestamp(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    // Days to civil date, with years starting in March so that leap days come last (H. Hinnant, "chrono-compatible
    // low-level date algorithms").
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (hour, minute, second, milli) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}000+00:00")
}

/// Reads what [`timestamp`] writes, and the common variants of it (`Z`, no fraction, offsets). `None` if it is not a date, or
/// one before 1970. A fraction is cut to milliseconds; a leap second is the first of the next minute.
pub fn parse_timestamp(text: &str) -> Option<u64> {
    let (date_and_time, rest) = text.split_at_checked(19)?;
    let bytes = date_and_time.as_bytes();
    let separators = (bytes[4], bytes[7], bytes[10], bytes[13], bytes[16]);
    if !matches!(separators, (b'-', b'-', b'T' | b't' | b' ', b':', b':')) {
        return None;
    }
    let number = |from: usize, to: usize| digits(&bytes[from..to]);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (milli, rest) = match rest.strip_prefix('.') {
        Some(fraction) => {
            let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let known = &fraction.as_bytes()[..length.min(3)];
            (digits(known)? * [1, 100, 10, 1][known.len()], &fraction[length..])
        }
        None => (0, rest),
    };
    let offset_minutes = offset_minutes(rest)?;

    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * m + 2) / 5 + day - 1;
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    let ms = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60_000 + second * 1_000 + milli;
    u64::try_from(ms).ok()
}

/// A non-empty run of at most four digits; unlike `str::parse` it takes no sign.
fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 4 {
        return None;
    }
    text.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// Minutes east of UTC of `Z`, `+05:30`, `+0530`, or nothing at all.
fn offset_minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = match text.as_bytes() {
        b"" | b"Z" | b"z" => return Some(0),
        [b'+' | b'-', h1, h2, b':', m1, m2] | [b'+' | b'-', h1, h2, m1, m2] => (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?),
        _ => return None,
    };
    let sign = if text.starts_with('-') { -1 } else { 1 };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

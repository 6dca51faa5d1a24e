use super::*;
use crate::measure::series::Sample;

fn report(text: &str) -> Report {
    let scenario = Scenario::parse("test", text, &[]).unwrap_or_else(|error| panic!("{error}"));
    let cores = Cores { server: vec![0], generator: vec![1] };
    Report::new("test", &scenario, &cores, &Plan::of(&scenario))
}

const JUDGED: &str =
    "about = \"<b>\"\n[[rooms]]\nsize = 3\n[objectives]\n\"audio.misrouted\" = \"== 0\"\n\"delay.p99_ms\" = \"<= 5\"\n";

#[test]
fn objectives_decide_and_what_was_not_measured_is_not_met() {
    let mut report = report(JUDGED);
    let scenario = report.scenario.clone();
    let mut verdict = |misrouted: f64, delay: Option<f64>, health: Option<&str>| {
        report.figures = Figures::default();
        report.figures.set("audio.misrouted", misrouted);
        report.figures.set("delay.p99_ms", delay.unwrap_or(f64::NAN));
        report.health = health.map(str::to_owned);
        report.judge(&scenario);
        report.verdict()
    };
    assert_eq!(verdict(0.0, Some(5.0), None), Verdict::Met);
    assert_eq!(verdict(0.0, Some(5.1), None), Verdict::Missed);
    assert_eq!(verdict(0.0, None, None), Verdict::Missed);
    assert_eq!(verdict(0.0, Some(5.1), Some("too busy")), Verdict::Unfit, "a late generator blames nobody");
    assert_eq!(verdict(1.0, Some(1.0), Some("too busy")), Verdict::Missed, "but lateness misroutes nothing");
}

#[test]
fn the_three_forms_say_the_same_and_the_page_needs_nothing_else() {
    let mut report = report(JUDGED);
    let mut account = Account::default();
    for at in 1..=1000u64 {
        account.server.delay.saturating_record(at * 10_000);
    }
    report.take_times(&account);
    report.figures.set("audio.misrouted", 0.0);
    report.figures.set("delay.p99_ms", 9.9);
    report.series.push(Sample { at: 1.0, sent_per_s: 50.0, ..Sample::default() });
    report.series.push(Sample { at: 2.0, sent_per_s: 50.0, ..Sample::default() });
    let scenario = report.scenario.clone();
    report.judge(&scenario);
    let text = report.to_string();
    assert!(text.contains("MISSED delay.p99_ms <= 5 (9.900)") && text.contains("The server misses an objective."), "{text}");
    let json = serde_json::to_value(&report).expect("plain data");
    assert_eq!((&json["figures"]["delay.p99_ms"], &json["objectives"][1]["is_met"]), (&9.9.into(), &false.into()));
    let page = html::page(&report);
    assert!(page.contains("&lt;b&gt;") && page.contains("<svg") && page.contains("p99"));
    assert!(!page.contains("http") && !page.contains("<script") && !page.contains("NaN"), "{page}");
}

#[test]
fn numbers_are_short() {
    for (value, text) in [(0.0, "0"), (1_234_567.0, "1234567"), (12.345, "12.3"), (1.2345, "1.234"), (0.000_123, "0.000123")] {
        assert_eq!(number(value), text);
    }
}

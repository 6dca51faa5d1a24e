use super::*;

#[test]
fn every_finding_is_a_line_and_what_to_do_stands_below_it() {
    let mut findings = Findings::default();
    findings.good("clock", "Fine.");
    findings.warn("UDP buffers", "Small.", "Raise them.");
    findings.fail("database", "Damaged.", "Restore it.");
    let text = findings.text();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert_eq!(lines[0], "ok       clock         Fine.");
    assert!(lines[1].starts_with("warning  UDP buffers   Small.") && lines[2].ends_with("→ Raise them."), "{text}");
    assert!(lines[3].starts_with("ERROR    database") && lines[4].ends_with("→ Restore it."), "{text}");
    assert_eq!((findings.count(Level::Error), findings.count(Level::Warning), findings.count(Level::Good)), (1, 1, 1));
}

#[test]
fn it_takes_the_flags_of_the_server() {
    let matches = command().try_get_matches_from(["doctor", "--listen", "127.0.0.1:9", "--data", "/nowhere"]).unwrap();
    let config = Config::load(&matches).unwrap();
    assert_eq!((config.listen.port(), config.data.to_str()), (9, Some("/nowhere")));
}

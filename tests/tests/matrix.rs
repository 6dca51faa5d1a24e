//! The README's table of clients says what the last complete run of the end-to-end tests proved, no more and no less.
//!
//! cargo runs this after `e2e`, whose reports it reads. `make compatibility` runs both and writes the table anew.

use guildhall_tests::{compatibility, repository};

const WRITE: &str = "GUILDHALL_WRITE_DOCS";
const BEGIN: &str = "<!-- compatibility: made by `make compatibility` -->\n";
const END: &str = "<!-- /compatibility -->\n";

#[test]
fn the_readme_says_what_the_last_complete_run_proved() {
    let path = repository().join("README.md");
    let readme = std::fs::read_to_string(&path).expect("a README");
    let (before, rest) = readme.split_once(BEGIN).expect("the README has a place for the table");
    let (committed, after) = rest.split_once(END).expect("and its end");
    let made = compatibility::matrix();
    if std::env::var_os(WRITE).is_some() {
        let table = made.as_ref().unwrap_or_else(|missing| panic!("no report of: {}", missing.join(", ")));
        std::fs::write(&path, [before, BEGIN, table, END, after].concat()).expect("the README can be written");
        return;
    }
    match made {
        Ok(table) => assert!(committed == table, "the table is out of date: `make compatibility` writes it anew:\n{table}"),
        // A test that failed has no report and says so itself; of a run of a few tests nothing can be said but the versions.
        Err(missing) => {
            let header = compatibility::header();
            assert!(committed.starts_with(&header), "the clients are pinned at other versions:\n{header}");
            println!("not compared: no report of {}", missing.join(", "));
        }
    }
}

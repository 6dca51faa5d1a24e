//! Decisions and states in words.

use guildhall_control_plane::fleet::decisions::Record;
use guildhall_control_plane::fleet::views::{NodeView, Standing};
use guildhall_fleet::placement::{Against, Because, Decision, Outcome};
use guildhall_protocol::model::timestamp;

/// Nodes that are named with why they were not taken.
const NAMED: usize = 8;

/// `2026-01-02 03:04:05`, UTC.
pub fn moment(unix_ms: u64) -> String {
    timestamp(unix_ms).chars().take(19).map(|character| if character == 'T' { ' ' } else { character }).collect()
}

pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Keep { node } => format!("stays on {node}"),
        Outcome::Place { node } => format!("goes to {node}"),
        Outcome::Move { from, to } => format!("moves from {from} to {to}"),
        Outcome::Refuse => "has no place".to_owned(),
    }
}

pub fn because(decision: &Decision) -> String {
    let strain = if decision.is_strained { "; no node has headroom, and this one bears more for a while" } else { "" };
    format!("{}{strain}", reason(decision.because))
}

fn reason(because: Because) -> &'static str {
    match because {
        Because::Asked => "an operator wants it there",
        Because::Wished => "the channel's own region",
        Because::WishUnavailable => "the channel's own region has no headroom, and this is the best of the others",
        Because::NearestToAll => "its farthest member is nearest there",
        Because::DefaultRegion => "no distances are known, and this is the default region",
        Because::LeastLoaded => "no distances are known, and the default region takes no rooms",
        Because::Settled => "nowhere is better by enough, or it has not been there for long",
        Because::NodeUnfit => "its node is lost, being emptied, failing or too old",
        Because::NodeFull => "its node is full",
        Because::Relieved => "its node has too much to do, and this one has headroom",
        Because::NoHeadroom => "no node takes a room",
    }
}

fn against(reason: Against) -> String {
    match reason {
        Against::Lost { silent_ms } => format!("lost, silent for {:.1} s", silent_ms as f64 / 1000.0),
        Against::Cordoned => "cordoned".to_owned(),
        Against::Draining => "being emptied".to_owned(),
        Against::Failing => "failing its probe calls".to_owned(),
        Against::Version { speaks } => format!("speaks version {speaks}"),
        Against::Busy { expected } => format!("{:.0} % busy", expected * 100.0),
        Against::NetworkFull { share } => format!("network {:.0} % used", share * 100.0),
        Against::SlowForwarding { p99_us } => format!("packets wait {:.1} ms", f64::from(p99_us) / 1000.0),
        Against::Farther { worst_ms } => format!("farther: {worst_ms} ms"),
        Against::NotDrawn => "not drawn".to_owned(),
        Against::Busier { expected } => format!("busier: {:.0} %", expected * 100.0),
    }
}

/// A decision in a few lines.
pub fn decision(record: &Record) -> Vec<String> {
    let Record { unix_ms, decision } = record;
    let estimated = match decision.estimated_members {
        0 => String::new(),
        count => format!(", {count} of them estimated by address, which counts half"),
    };
    let mut lines = vec![
        format!("{}  {}: {}", moment(*unix_ms), outcome(&decision.outcome), because(decision)),
        format!("  {} of {} members' distances are known{estimated}", decision.known_members, decision.members),
    ];
    for view in &decision.regions {
        lines.push(format!(
            "  region {}: farthest member {} ms, mean {} ms, {} nodes take a room",
            view.region, view.worst_ms, view.mean_ms, view.admitted
        ));
    }
    lines.extend(decision.against.iter().take(NAMED).map(|(node, reason)| format!("  not {node}: {}", against(*reason))));
    let more = decision.against.len().saturating_sub(NAMED) + decision.unlisted as usize;
    if more > 0 {
        lines.push(format!("  and {more} more nodes"));
    }
    lines
}

pub fn standing(node: &NodeView) -> String {
    let trouble = node.probe.as_ref().map_or("", |probe| &probe.trouble);
    match (node.state, node.drain) {
        (Standing::Lost, _) => format!("lost for {} s", node.silent_ms / 1000),
        (Standing::Draining, Some(drain)) => format!(
            "draining: {} moved, {} moving, {} waiting, {} s left",
            drain.moved,
            drain.moving,
            drain.waiting,
            drain.left_ms / 1000
        ),
        (Standing::Draining, None) => "draining".to_owned(),
        (Standing::Failing, _) if trouble.is_empty() => "failing: being tried again".to_owned(),
        // One call is no reason to take its rooms, and neither are many while too many other nodes fail.
        (state, _) if trouble.is_empty() => state.name().to_owned(),
        (state, _) => format!("{}: {trouble}", state.name()),
    }
}

/// How long it takes until people hear each other through the node, by the last probe call that found out.
pub fn first_audio(node: &NodeView) -> String {
    let media_ms = node.probe.as_ref().and_then(|probe| probe.media_ms);
    media_ms.map_or_else(|| "-".to_owned(), |media_ms| format!("{media_ms} ms"))
}

/// Rows in columns that fit their widest cell; the first row is the heading.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(|row| line(row) + "\n").collect()
}

//! The page at `/admin`: nodes, regions, rooms and the last decisions, made new with each look. It has no script, asks nothing
//! of other places, and looks again by itself.

use super::{Desk, Onlooker, explain};
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use guildhall_control_plane::fleet::views::{NodeView, Standing};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Seconds until the page looks again.
const AGAIN_S: u32 = 5;
const ROOMS: usize = 100;
const DECISIONS: usize = 30;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem;color:#1d2125;background:#fff}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #d5d9de;vertical-align:top}td.n,th.n{text-align:right}\
.bad{color:#b3261e}.wait{color:#8a5a00}small{color:#5a626b}\
@media(prefers-color-scheme:dark){body{color:#e3e5e8;background:#17191c}th,td{border-color:#33383e}.bad{color:#ff8a80}.wait{color:#ffca6a}small{color:#9aa3ad}}";

pub(super) async fn show(_: Onlooker, State(desk): State<Desk>) -> Response {
    let nodes = desk.hub.nodes();
    let (rooms, count) = desk.hub.voice_rooms();
    let decisions = desk.hub.decisions(DECISIONS);
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <meta http-equiv=refresh content={AGAIN_S}><title>Guildhall: the fleet</title><style>{STYLE}</style><h1>The fleet</h1>"
    );
    page += "<h2>Regions</h2>";
    page += &regions(&nodes);
    page += "<h2>Nodes</h2>";
    page += &rows(
        &[
            "Node",
            "Region",
            "State",
            "#Rooms",
            "#People",
            "#Busy",
            "#Out",
            "#Delay p50 / p99",
            "#Drops",
            "#First audio",
            "Address",
        ],
        nodes.iter().map(|node| {
            let load = &node.load;
            let class = match node.state {
                Standing::Lost | Standing::Failing => "bad",
                Standing::Draining | Standing::Cordoned => "wait",
                Standing::Serving => "",
            };
            vec![
                escape(node.id.as_str()),
                escape(node.region.as_str()),
                format!("<span class=\"{class}\">{}</span>", escape(&explain::standing(node))),
                node.leases.to_string(),
                load.peers.to_string(),
                format!("{:.0} %", load.busy * 100.0),
                format!("{:.1} Mbit/s", load.egress_bps as f64 / 1e6),
                format!("{} / {} µs", load.forward_p50_us, load.forward_p99_us),
                format!("{} /s", load.drops),
                explain::first_audio(node),
                escape(if node.endpoint.is_empty() { "this server" } else { &node.endpoint }),
            ]
        }),
    );
    let _ = write!(page, "<h2>Rooms <small>{count}</small></h2>");
    page += &rows(
        &["Room", "Node", "#People", "Notes"],
        rooms.iter().take(ROOMS).map(|room| {
            let from = room.from.as_ref().map(|from| format!("leaving {from}"));
            let pinned = room.pinned_to.as_ref().map(|node| format!("pinned to {node}"));
            let notes: Vec<String> = from.into_iter().chain(pinned).collect();
            vec![
                room.room.to_string(),
                room.node.as_ref().map_or("<span class=bad>waits for a node</span>".to_owned(), |node| escape(node.as_str())),
                room.members.to_string(),
                escape(&notes.join(", ")),
            ]
        }),
    );
    page += "<h2>Last decisions <small>UTC</small></h2>";
    page += &rows(
        &["When", "Room", "What", "Why"],
        decisions.iter().map(|record| {
            vec![
                explain::moment(record.unix_ms),
                record.decision.room.to_string(),
                escape(&explain::outcome(&record.decision.outcome)),
                escape(&explain::because(&record.decision)),
            ]
        }),
    );
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(page)).into_response()
}

fn regions(nodes: &[NodeView]) -> String {
    let mut regions: BTreeMap<&str, (usize, usize, u32, f32)> = BTreeMap::new();
    for node in nodes {
        let (alive, all, people, busiest) = regions.entry(node.region.as_str()).or_default();
        *all += 1;
        if node.state != Standing::Lost {
            *alive += 1;
            *people += node.load.peers;
            *busiest = busiest.max(node.load.busy);
        }
    }
    rows(
        &["Region", "#Nodes that live", "#People", "#Busiest node"],
        regions.into_iter().map(|(region, (alive, all, people, busiest))| {
            let class = if alive == 0 { "bad" } else { "" };
            let nodes = format!("<span class=\"{class}\">{alive} of {all}</span>");
            vec![escape(region), nodes, people.to_string(), format!("{:.0} %", busiest * 100.0)]
        }),
    )
}

/// A table of cells that are HTML already. A heading with `#` is above numbers.
fn rows(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let class = |at: usize| if headings[at].starts_with('#') { " class=n" } else { "" };
    let mut table = "<table><tr>".to_owned();
    for (at, heading) in headings.iter().enumerate() {
        let _ = write!(table, "<th{}>{}</th>", class(at), heading.trim_start_matches('#'));
    }
    table += "</tr>";
    for row in rows {
        table += "<tr>";
        for (at, cell) in row.iter().enumerate() {
            let _ = write!(table, "<td{}>{cell}</td>", class(at));
        }
        table += "</tr>";
    }
    table + "</table>"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

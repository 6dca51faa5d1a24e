//! The load harness, as its README commands start it: a whole run against a server of its own.

use guildhall_tests::server;
use serde_json::Value;
use std::process::Command;

/// Nothing of time is asserted: a busy machine makes the harness judge nobody (exit code 3), and that is right.
#[test]
fn a_scenario_runs_from_one_command_and_nothing_is_heard_where_it_may_not_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let (json, html) = (folder.path().join("run.json"), folder.path().join("run.html"));
    let output = Command::new(server::binary().with_file_name("guildhall-loadtest"))
        // With more callers than one account may have bots.
        .args(["run", "smoke", "--set", "time.measure=2", "--set", "text.senders=48", "--server"])
        .arg(server::binary())
        .arg("--json")
        .arg(&json)
        .arg("--html")
        .arg(&html)
        .output()
        .expect("the harness starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let told = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | 3)), "{:?}: {told}", output.status);
    let report: Value = serde_json::from_slice(&std::fs::read(&json).expect("the JSON is written")).expect("it is JSON");
    let figure = |name: &str| report["figures"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {told}"));
    for name in ["audio.misrouted", "audio.forbidden", "audio.echoed", "audio.damaged", "audio.unopened", "join.failed"] {
        assert_eq!(figure(name), 0.0, "{name}: {told}");
    }
    assert!(figure("audio.received") > 0.0 && figure("decoded.streams") > 0.0, "audio arrived: {told}");
    assert_eq!(figure("decoded.undecodable"), 0.0, "{told}");
    assert!(figure("text.acknowledged") > 0.0 && figure("text.lost") == 0.0, "text arrived: {told}");
    assert!(std::fs::read_to_string(&html).expect("the page is written").contains("<svg"), "the page has plots");
}

/// Cameras, their viewers, and one whose network changes: the same command. How good the pictures are is for a machine with time.
#[test]
fn cameras_with_simulcast_are_shown_by_one_command_and_no_picture_goes_astray() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("run.json");
    let output = Command::new(server::binary().with_file_name("guildhall-loadtest"))
        .args(["run", "video-narrow", "--set", "time.warm_up=6", "--set", "time.measure=6"])
        .args(["--set", "shifts.0.at_s=1", "--set", "shifts.1.at_s=4", "--server"])
        .arg(server::binary())
        .arg("--json")
        .arg(&json)
        .output()
        .expect("the harness starts");
    let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{:?}: {told}", output.status);
    let report: Value = serde_json::from_slice(&std::fs::read(&json).expect("the JSON is written")).expect("it is JSON");
    let figure = |name: &str| report["figures"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {told}"));
    for name in ["audio.misrouted", "audio.echoed", "audio.damaged", "audio.unopened", "join.failed", "video.blank"] {
        assert_eq!(figure(name), 0.0, "{name}: {told}");
    }
    assert!(figure("video.packets") > 0.0 && figure("video.bitrate_bps") > 0.0, "{told}");
    assert!(figure("shifted.frozen_ms") >= 0.0, "the viewer behind the narrow link saw pictures: {told}");
}

/// Three people, each on a media worker of their own: the camera of one is shown to both others.
#[test]
fn a_camera_is_shown_on_every_worker_that_a_room_is_spread_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("run.json");
    let output = Command::new(server::binary().with_file_name("guildhall-loadtest"))
        .args(["run", "video-spread", "--set", "rooms.0.size=3", "--set", "video.cameras=1", "--set", "server.room_share=1"])
        .args(["--set", "time.warm_up=6", "--set", "time.measure=4", "--server"])
        .arg(server::binary())
        .arg("--json")
        .arg(&json)
        .output()
        .expect("the harness starts");
    let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{:?}: {told}", output.status);
    let report: Value = serde_json::from_slice(&std::fs::read(&json).expect("the JSON is written")).expect("it is JSON");
    let figure = |name: &str| report["figures"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {told}"));
    for name in ["audio.misrouted", "audio.echoed", "audio.damaged", "audio.unopened", "join.failed"] {
        assert_eq!(figure(name), 0.0, "{name}: {told}");
    }
    // Nobody sits where the camera is: whatever is shown came from another worker.
    assert!(figure("video.packets") > 0.0 && figure("video.bitrate_bps") > 0.0, "{told}");
}

/// Small numbers: that a command measures everything is what counts here, and that nobody was lost on the way.
#[test]
fn what_a_fleets_failures_cost_is_measured_from_one_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("fleet.json");
    let output = Command::new(server::binary().with_file_name("guildhall-loadtest"))
        .args(["fleet", "figures", "--kills", "1", "--drains", "1", "--outage-seconds", "2", "--sessions", "20"])
        .args(["--rate", "10", "--seconds", "2", "--listeners", "6", "--messages", "5", "--server"])
        .arg(server::binary())
        .arg("--json")
        .arg(&json)
        .output()
        .expect("the harness starts");
    let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}: {told}", output.status);
    let report: Value = serde_json::from_slice(&std::fs::read(&json).expect("the JSON is written")).expect("it is JSON");
    let voices = |gaps: &Value| gaps["voices"].as_u64().expect("a number");
    assert!(voices(&report["kills"]) > 0, "{told}");
    assert_eq!(report["outages"].as_array().map(Vec::len), Some(3), "{told}");
    assert_eq!(report["storm"]["sessions"], 20, "{told}");
    assert_eq!(report["delivery"]["messages"], 40, "{told}");
    assert_eq!(report["growth"].as_array().map(Vec::len), Some(3), "{told}");
}

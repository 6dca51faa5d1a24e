//! The process itself: how it starts, what it says, how it ends, and that TLS and plain HTTP share its port.

use std::process::Command;

use guildhall_loadtest::{Gateway, Rest, Trust, gateway::Connect};
use guildhall_protocol::Permissions;
use guildhall_tests::{
    DEADLINE, eventually,
    room::{GCM, WEBRTC},
    server::{Server, binary},
    wire::Wire,
    world::{PASSWORD, World},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[test]
fn help_names_every_option_with_its_environment_variable() {
    let help = Command::new(binary()).args(["serve", "--help"]).output().expect("it runs");
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).expect("text");
    for option in
        ["config", "data", "listen", "public-host", "media-listen", "media-ip", "media-port", "media-workers", "registration"]
    {
        let variable = format!("GUILDHALL_{}", option.to_uppercase().replace('-', "_"));
        assert!(help.contains(&format!("--{option}")), "--{option} is documented: {help}");
        assert!(help.contains(&variable), "{variable} is documented: {help}");
    }
}

#[test]
fn a_bad_value_stops_the_start_with_a_sentence_that_names_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("guildhall.toml");
    let data = folder.path().join("data");
    let serve = |arguments: &[&str], file: &str, environment: &[(&str, &str)]| {
        std::fs::write(&config, file).expect("writable");
        let mut command = Command::new(binary());
        command.arg("serve").arg("--data").arg(&data).arg("--config").arg(&config);
        command.args(arguments).envs(environment.iter().copied());
        let output = command.output().expect("it runs");
        assert!(!output.status.success(), "{arguments:?} {file:?} must not start");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (named, said) in [
        ("listen = ", serve(&["--listen", "nowhere"], "", &[])),
        ("media-port", serve(&["--media-port", "70000"], "", &[])),
        ("registration", serve(&["--registration", "perhaps"], "", &[])),
        ("listen", serve(&[], "listen = \"nowhere\"", &[])),
        ("media_workers", serve(&[], "media_workers = \"many\"", &[])),
        ("listne", serve(&[], "listne = \"127.0.0.1:0\"", &[])),
        ("listen", serve(&[], "", &[("GUILDHALL_LISTEN", "nowhere")])),
    ] {
        assert!(said.to_lowercase().contains(named), "the message names {named}: {said}");
    }
}

#[tokio::test]
async fn an_asked_for_shutdown_ends_with_zero_and_a_restart_keeps_everything() {
    let mut world = World::start().await;
    let ann = world.member("ann").await;
    let mut written = Vec::new();
    for signal in ["TERM", "INT"] {
        let message = ann.rest.send_message(world.text, &format!("before {signal}")).await.expect("a member may write");
        written.push((message.id, message.content));
        let status = world.server.signal(signal);
        assert_eq!(status.code(), Some(0), "SIG{signal} ends the process cleanly");
        world.restart().await;

        // The same tokens, the same guild, the same words; the password still works.
        let owner = world.server.owner();
        world.rest.login(&owner.login, &owner.password).await.expect("the owner's password still works");
        assert_eq!(ann.rest.guild(world.guild).await.expect("still a member").name, "The hall");
        let kept = ann.rest.history(world.text).await.expect("a member may read");
        let kept: Vec<_> = kept.into_iter().map(|message| (message.id, message.content)).collect();
        assert_eq!(kept, written);
    }
}

#[tokio::test]
async fn libraries_come_back_by_themselves_after_a_shutdown_and_after_a_crash() {
    let mut world = World::start().await;
    let (js_bot, py_bot) =
        (world.bot("jester", Permissions::VIEW_CHANNEL).await, world.bot("python", Permissions::VIEW_CHANNEL).await);
    let base = world.server.base();
    let (js, py) = tokio::join!(world.discord_js(&js_bot, &base), world.discord_py(&py_bot, &base));
    for (start, is_crash) in [(2, false), (3, true)] {
        if is_crash {
            world.server.kill_9();
        } else {
            assert_eq!(world.server.signal("TERM").code(), Some(0), "open sessions do not hold up the end");
        }
        world.restart().await;
        // A planned restart keeps the sessions; a crash does not.
        let (js_word, py_word) = if is_crash { ("identified", "ready") } else { ("resumed", "resumed") };
        js.event_number(start - 1, js_word, json!({})).await;
        py.event_number(start - 1, py_word, json!({})).await;
        let sent = world.owner.rest.send_message(world.text, "welcome back").await.expect("the owner may write");
        js.event("message_create", json!({"id": sent.id})).await;
        py.event("message_create", json!({"id": sent.id})).await;
    }
}

#[tokio::test]
async fn the_gateway_answers_under_every_url_that_libraries_build() {
    let server = Server::start();
    let address = server.address();
    for path in [
        "gateway?v=10&encoding=json",
        "gateway/?v=10&encoding=json",
        "gateway/?v=9",
        "?v=10&encoding=json",
        "?v=10",
        "?v=9&encoding=json",
    ] {
        let mut main = Wire::open(&format!("ws://{address}/{path}")).await;
        main.hear_op(10).await;
    }
    for path in ["?v=8", "?v=4", ""] {
        let mut voice = Wire::open(&format!("ws://{address}/{path}")).await;
        voice.hear_op(8).await;
    }
}

#[tokio::test]
async fn a_given_certificate_is_used_instead_of_a_made_one_and_a_renewed_one_without_a_restart() {
    // Other servers' certificates are as good as any.
    let makers = [Server::start(), Server::start()];
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["leaf.pem", "leaf.key"];
    let give = |maker: &Server| {
        for file in files {
            std::fs::copy(maker.data().join("tls").join(file), folder.path().join(file)).expect("the maker's file");
        }
    };
    give(&makers[0]);
    let [certificate, key] = files.map(|file| folder.path().join(file).to_str().expect("a plain path").to_string());
    let server = Server::start_with(&["--tls-cert", &certificate, "--tls-key", &key]);
    let seen_by = |maker: &Server| {
        let trust = Trust::file(&maker.ca()).expect("the maker's authority");
        Rest::with_trust(&format!("https://{}", server.address()), &trust).expect("a client")
    };
    seen_by(&makers[0]).gateway_url().await.expect("the given certificate is served");
    assert!(!server.ca().exists(), "no authority is made that nobody needs");
    seen_by(&makers[1]).gateway_url().await.expect_err("it is not below that authority");
    give(&makers[1]);
    eventually("the renewed certificate to be served", async || seen_by(&makers[1]).gateway_url().await.ok()).await;
}

#[tokio::test]
async fn nothing_private_reaches_the_log() {
    let world = World::on(Server::start_with(&["--log", "trace"])).await;
    let ann = world.member("ann").await;
    let mut session = world.session(&ann).await;
    let grant = session.join_voice(world.guild, world.voice).await.expect("op 4 is answered");
    let _peer = world.join(&grant, WEBRTC).await;
    let listener = world.participant("gail", GCM).await;
    let (address, _) = listener.peer.native().expect("a native peer").addresses().expect("connected");
    let address = address.to_string();
    let secret = "the treasure lies below the hearth";
    ann.rest.send_message(world.text, secret).await.expect("a member may write");
    session.next_named("MESSAGE_CREATE", |message| message["content"] == secret).await.expect("it is delivered");
    world.rest.login("ann@loadtest.invalid", "a wrong guess").await.err().expect("the password is wrong");
    let log = world.server.log();
    assert!(log.lines().count() > 10, "it logs at all: {log}");
    let private = [
        secret,
        PASSWORD,
        "a wrong guess",
        &world.server.owner().password,
        "ann@loadtest.invalid",
        &ann.token,
        &grant.token,
        &address,
    ];
    for private in private {
        let line = log.lines().find(|line| line.contains(private));
        assert!(line.is_none(), "{private} is in the log: {line:?}");
    }
}

#[tokio::test]
async fn tls_and_plain_http_share_the_port() {
    let server = Server::start();
    let port = server.address().port();
    let trust = Trust::file(&server.ca()).expect("the server wrote its certificate authority");
    for (base, trust, gateway) in [
        (format!("https://localhost:{port}"), &trust, format!("wss://localhost:{port}/gateway")),
        (format!("https://127.0.0.1:{port}"), &trust, format!("wss://127.0.0.1:{port}/gateway")),
        (format!("http://127.0.0.1:{port}"), &Trust::none(), format!("ws://127.0.0.1:{port}/gateway")),
    ] {
        let rest = Rest::with_trust(&base, trust).expect("a client");
        assert_eq!(rest.gateway_url().await.expect("an answer"), gateway, "the URL keeps the scheme and host of the request");
        let owner = rest.login(&server.owner().login, &server.owner().password).await.expect("a login");
        let mut connect = Connect::new(gateway, &owner.token);
        connect.trust = trust.clone();
        Gateway::connect(&connect).await.unwrap_or_else(|error| panic!("a session over {}: {error}", connect.url));
    }

    let other = Server::start();
    let stranger = Trust::file(&other.ca()).expect("another server has another authority");
    let rest = Rest::with_trust(&format!("https://127.0.0.1:{port}"), &stranger).expect("a client");
    rest.gateway_url().await.expect_err("who trusts another authority does not talk to this server");
}

#[tokio::test]
async fn a_monitor_on_the_same_machine_sees_that_it_is_ready_and_what_it_does() {
    let server = Server::start();
    // By hand, because our client knows the API only.
    let ask = async |path: &str, header: &str| {
        let mut stream = TcpStream::connect(server.address()).await.expect("the server listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{header}Connection: close\r\n\r\n", server.address());
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut answer = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.split(' ').nth(1).map(str::to_owned).expect("a status"), body.to_owned())
    };
    assert_eq!(ask("/livez", "").await.0, "200");
    let (status, body) = ask("/readyz", "").await;
    assert_eq!((status.as_str(), body.as_str()), ("200", r#"{"ready":true,"failing":[]}"#));

    let mut main = Wire::open(&format!("ws://{}/gateway?v=10&encoding=json", server.address())).await;
    main.hear_op(10).await;
    let (status, page) = ask("/metrics", "").await;
    assert_eq!(status, "200");
    assert!(page.contains("guildhall_gateway_connections 1\n"), "the open socket is counted: {page}");
    assert!(page.contains("guildhall_media_peers{worker="), "{page}");
    assert_eq!(ask("/metrics", "X-Forwarded-For: 192.0.2.1\r\n").await.0, "404", "not for who comes through a proxy");
}

//! Which source wins, and what a bad value is told.

use super::*;

fn resolve(flags: &[(&str, &str)], env: &[(&str, &str)], file: &str) -> Result<Config, ConfigError> {
    let find =
        |values: &[(&str, &str)], name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Config::resolve(|name| find(flags, name), |name| find(env, name), &parse_file("g.toml", file)?)
}

#[test]
fn without_settings_the_defaults_hold() {
    let config = resolve(&[], &[], "").unwrap();
    assert_eq!(config.listen, "0.0.0.0:8080".parse().unwrap());
    assert_eq!((config.data, config.media_port, config.media_ip), (PathBuf::from("./data"), 50_000, Vec::new()));
    assert_eq!(config.media_listen, config.listen.ip());
    assert_eq!((config.registration, config.log.as_str(), config.tls), (Registration::Open, "info", None));
    assert!(config.has_rate_limits);
    assert!(config.media_workers >= 1);
    assert_eq!(config.database, Location::File("./data/guildhall.db".into()));
    assert_eq!((config.role, config.region.as_str(), config.nodes_listen), (Role::All, "local", None));
    assert_eq!((config.leave_within, config.recording_days), (Duration::from_secs(15), 30));
}

#[test]
fn each_role_has_its_settings() {
    let control = resolve(&[("role", "control-plane"), ("region", "eu-west")], &[], "").unwrap();
    assert_eq!(
        (control.role, control.region.as_str(), control.nodes_listen),
        (Role::ControlPlane, "eu-west", Some(NODES_LISTEN))
    );
    let urls = "https://a.example:7443, http://127.0.0.1:1";
    let voice =
        resolve(&[("role", "voice"), ("join-secret-file", "s")], &[("GUILDHALL_CONTROL_PLANE", urls)], "node = 'v1'").unwrap();
    let dialled: Vec<String> = voice.control_planes.iter().map(ToString::to_string).collect();
    assert_eq!(dialled, ["https://a.example:7443", "http://127.0.0.1:1"]);
    assert_eq!((voice.node.unwrap().as_str(), voice.nodes_listen), ("v1", None));
    let shown = [("role", "voice"), ("control-plane", "https://a:1"), ("control-plane-cert", "c"), ("control-plane-key", "k")];
    let voice = resolve(&shown, &[], "").unwrap();
    assert_eq!(voice.control_plane_cert, Some(TlsFiles { certificate: "c".into(), key: "k".into() }));
    assert_eq!((voice.join_secret, voice.tls), (None, None));
}

#[test]
fn distances_are_estimated_by_a_database_and_the_regions_places() {
    let set =
        [("geo-database", "city.mmdb"), ("region-locations", "eu=52.4/4.9, us=39/-77.5"), ("trusted-proxies", "10.0.0.0/8,::1")];
    let config = resolve(&set, &[], "").unwrap();
    let at = |latitude, longitude| Coordinates::new(latitude, longitude).unwrap();
    let regions = vec![("eu".parse().unwrap(), at(52.4, 4.9)), ("us".parse().unwrap(), at(39.0, -77.5))];
    assert_eq!(config.geo, Some(Geo { database: "city.mmdb".into(), regions }));
    assert!(config.trusted_proxies.include("10.1.1.1".parse().unwrap()));
    let default = resolve(&[], &[], "").unwrap();
    assert_eq!((default.geo, default.trusted_proxies), (None, Proxies::default()));
}

#[test]
fn several_control_planes_have_no_voice_node_inside() {
    let shared = [("database", "postgres://h/d"), ("redis", "redis://h")];
    let refused = resolve(&shared, &[], "").unwrap().check_role().unwrap_err().to_string();
    assert!(refused.contains("--role control-plane"), "{refused}");
    assert_eq!(resolve(&shared, &[("GUILDHALL_ROLE", "control-plane")], "").unwrap().check_role(), Ok(()));
    assert_eq!(resolve(&shared[..1], &[], "").unwrap().check_role(), Ok(()));
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let file = "listen = '127.0.0.1:1'\nmedia_port = 7000\nmedia_workers = 3";
    let env = [("GUILDHALL_LISTEN", "127.0.0.1:2"), ("GUILDHALL_MEDIA_PORT", "8000")];
    let config = resolve(&[("listen", "127.0.0.1:3")], &env, file).unwrap();
    assert_eq!((config.listen.port(), config.media_port, config.media_workers), (3, 8000, 3));
    assert!(config.media_listen.is_loopback(), "media follows where the API listens");
    let config = resolve(&[("media-listen", "10.0.0.1"), ("rate-limits", "off")], &env, "").unwrap();
    assert!(!config.has_rate_limits);
    assert_eq!(config.media_listen, "10.0.0.1".parse::<IpAddr>().unwrap());
    let both = resolve(&[("media-ip", "192.0.2.1, 2001:db8::1")], &[], "").unwrap().media_ip;
    assert_eq!(both, ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse::<IpAddr>().unwrap()));
    assert_eq!(resolve(&[("listen", "[::]:80")], &[], "").unwrap().media_listen, "0.0.0.0".parse::<IpAddr>().unwrap());
}

#[test]
fn media_finds_ways_around_networks_without_udp() {
    assert_eq!(resolve(&[], &[], "").unwrap().media_tcp, MediaTcp::Listened);
    assert_eq!(resolve(&[("media-tcp", "off")], &[], "").unwrap().media_tcp, MediaTcp::Off);
    let config =
        resolve(&[("media-tcp", "443")], &[("GUILDHALL_TURN_SECRET_FILE", "s")], "turn = 'turn:a, turns:b:443'").unwrap();
    let urls = ["turn:a", "turns:b:443"].map(|url| url.parse().unwrap());
    assert_eq!(
        (config.media_tcp, config.turn),
        (MediaTcp::Port(443), Some(TurnServers { urls: urls.into(), secret: "s".into() }))
    );
}

#[test]
fn a_bad_value_is_named_with_its_source() {
    type Values<'a> = &'a [(&'a str, &'a str)];
    #[rustfmt::skip]
    let cases: &[(Values, Values, &str, &str)] = &[
        (&[("media-tcp", "0")], &[], "", "--media-tcp = \"0\" is not valid: it must be a port, 1 to 65535, or off."),
        (&[("media-tcp", "on")], &[], "", "--media-tcp = \"on\" is not valid: "),
        (&[("turn", "stun:a"), ("turn-secret-file", "f")], &[], "", "--turn = \"stun:a\" is not valid: it must be turn:HOST"),
        (&[("turn", "turn:a,turn:b,turn:c,turn:d,turn:e"), ("turn-secret-file", "f")], &[], "", "--turn = "),
        (&[("turn", "turn:a")], &[], "", "--turn is set but --turn-secret-file is not; TURN needs both."),
        (&[], &[("GUILDHALL_TURN_SECRET_FILE", "f")], "", "The environment variable GUILDHALL_TURN_SECRET_FILE is set but --turn is not"),
        (&[("listen", "8080")], &[], "", "--listen = \"8080\" is not valid: "),
        (&[], &[("GUILDHALL_MEDIA_PORT", "70000")], "", "The environment variable GUILDHALL_MEDIA_PORT = \"70000\" is not valid: "),
        (&[("recordings", "3661")], &[], "", "--recordings = \"3661\" is not valid: it must be 3660 at most."),
        (&[("leave-within", "3601")], &[], "", "--leave-within = \"3601\" is not valid: it must be 3600 at most."),
        (&[], &[], "media_workers = 0", "media_workers in the configuration file = \"0\" is not valid: it must be 1 to 256."),
        (&[("media-port", "65535"), ("media-workers", "2")], &[], "", "--media-port = \"65535\" is not valid: 2 workers need a port each"),
        (&[("role", "both")], &[], "", "--role = \"both\" is not valid: it must be all, control-plane or voice."),
        (&[("role", "voice")], &[], "", "A voice node needs --control-plane."),
        (&[("role", "voice"), ("control-plane", "https://a:1")], &[], "", "A voice node needs --join-secret-file or --control-plane-cert."),
        (&[("role", "voice"), ("control-plane", "https://a:1,http://b:2"), ("control-plane-cert", "c"), ("control-plane-key", "k")], &[], "",
            "--control-plane-cert is shown by https only, and http://b:2 is not that"),
        (&[("control-plane-key", "k")], &[], "", "--control-plane-key is set but --control-plane-cert is not; a certificate needs both."),
        (&[("control-plane", "a:1")], &[], "", "--control-plane = \"a:1\" is not valid: a control plane is given as https://HOST:PORT."),
        (&[("trusted-proxies", "10.0.0.0/33")], &[], "", "--trusted-proxies = \"10.0.0.0/33\" is not valid: \"10.0.0.0/33\" is no address"),
        (&[("geo-database", "f")], &[], "", "--geo-database is set but --region-locations is not; estimates of distances need both."),
        (&[], &[("GUILDHALL_REGION_LOCATIONS", "eu=0/0")], "", "The environment variable GUILDHALL_REGION_LOCATIONS is set but --geo-database"),
        (&[("geo-database", "f"), ("region-locations", "eu:1/2")], &[], "", "--region-locations = \"eu:1/2\" is not valid: regions are given as"),
        (&[("geo-database", "f"), ("region-locations", "EU=1/2")], &[], "", "--region-locations = \"EU=1/2\" is not valid: a region is named by"),
        (&[("geo-database", "f"), ("region-locations", "eu=91/2")], &[], "", "--region-locations = \"eu=91/2\" is not valid: a place is given as"),
        (&[("geo-database", "f"), ("region-locations", "eu=1/2,eu=3/4")], &[], "", "--region-locations = \"eu=1/2,eu=3/4\" is not valid: eu is in it twice."),
        (&[("region", "EU")], &[], "", "--region = \"EU\" is not valid: a region is named by"),
        (&[("registration", "maybe")], &[], "", "--registration = \"maybe\" is not valid: it must be open or closed."),
        (&[], &[], "rate_limits = 'no'", "rate_limits in the configuration file = \"no\" is not valid: it must be on or off."),
        (&[("media-ip", "0.0.0.0")], &[], "", "--media-ip = \"0.0.0.0\" is not valid: clients cannot send to it."),
        (&[("media-ip", "192.0.2.1,192.0.2.2")], &[], "", "--media-ip = \"192.0.2.1,192.0.2.2\" is not valid: one IPv4 and one IPv6"),
        (&[("media-ip", "host")], &[], "", "--media-ip = \"host\" is not valid: "),
        (&[("public-host", "https://a.example")], &[], "", "--public-host = \"https://a.example\" is not valid: "),
        (&[("files", "ftp://x/y")], &[], "", "--files = \"ftp://x/y\" is not valid: it must begin with file:///, s3://, az:// or gs://."),
        (&[("cdn-url", "cdn.example")], &[], "", "--cdn-url = \"cdn.example\" is not valid: it must be an address"),
        (&[], &[("GUILDHALL_MAX_FILE", "0")], "", "The environment variable GUILDHALL_MAX_FILE = \"0\" is not valid: it must be a number of bytes"),
        (&[("user-files", "9999999999G")], &[], "", "--user-files = \"9999999999G\" is not valid: "),
        (&[("log", "loud=very")], &[], "", "--log = \"loud=very\" is not valid: "),
        (&[("database", "mysql://ann:secret@x/y")], &[], "", "--database = \"mysql://…\" is not valid: there is no database of the kind mysql"),
        (&[("redis", "redis://h")], &[], "", "--redis = \"redis://…\" is not valid: a SQLite file has one control plane"),
        (&[("redis", "http://:secret@h"), ("database", "postgres://h/d")], &[], "", "--redis = \"http://…\" is not valid: it must begin"),
        (&[("tls-cert", "a.pem")], &[], "", "--tls-cert is set but --tls-key is not; a certificate needs both."),
        (&[], &[], "tls_key = 'k.pem'", "tls_key in the configuration file is set but --tls-cert is not; a certificate needs both."),
        (&[], &[], "listne = 'x'", "The configuration file g.toml has the unknown key \"listne\"; see `guildhall serve --help` for the known ones."),
        (&[], &[], "listen = [1]", "The configuration file g.toml cannot be read: listen must be a string or a number, not array."),
        (&[], &[], "listen = ", "The configuration file g.toml cannot be read: "),
    ];
    for (flags, env, file, expected) in cases {
        let sentence = resolve(flags, env, file).expect_err(expected).to_string();
        assert!(sentence.starts_with(expected), "expected {expected:?}, got {sentence:?}");
    }
}

#[test]
fn files_may_be_elsewhere_and_sizes_have_units() {
    let config = resolve(&[], &[], "").unwrap().files;
    assert_eq!(config, files::Config::default());
    let file =
        "files = 's3://bucket/prefix'\ncdn_url = 'https://cdn.example/x/'\nmax_file = 500\nuser_files = '3K'\nguild_files = '2G'";
    let config = resolve(&[], &[], file).unwrap().files;
    assert_eq!((config.url.as_deref(), config.cdn_url.as_deref()), (Some("s3://bucket/prefix"), Some("https://cdn.example/x")));
    assert_eq!((config.max_file, config.quotas), (500, Quotas { user: 3 << 10, guild: 2 << 30 }));
    for url in ["file:///srv/files", "az://container/x", "gs://bucket"] {
        assert_eq!(resolve(&[("files", url)], &[], "").unwrap().files.url.as_deref(), Some(url));
    }
}

#[test]
fn a_public_host_may_have_a_port_and_a_certificate_needs_both_files() {
    for host in ["chat.example", "chat.example:8443", "192.0.2.7", "[2001:db8::1]:443"] {
        assert_eq!(resolve(&[("public-host", host)], &[], "").unwrap().public_host.as_deref(), Some(host));
    }
    let config = resolve(&[("tls-cert", "a.pem")], &[], "tls_key = 'k.pem'").unwrap();
    assert_eq!(config.tls, Some(TlsFiles { certificate: "a.pem".into(), key: "k.pem".into() }));
}

#[test]
fn every_key_is_a_flag_whose_help_names_default_and_variable() {
    let help = command().render_long_help().to_string();
    for key in KEYS {
        assert!(help.contains(&format!("--{}", key.name)) && help.contains(&key.env()), "{}", key.name);
    }
    assert!(help.contains("[default: 0.0.0.0:8080]"));
    let matches = command().try_get_matches_from(["serve", "--listen", "127.0.0.1:9", "--registration", "closed"]).unwrap();
    assert_eq!(matches.get_one::<String>("listen").map(String::as_str), Some("127.0.0.1:9"));
    assert!(command().try_get_matches_from(["serve", "--lisen", "x"]).is_err());
}

#[path = "../../fuzz/replay.rs"]
mod replay;

#[test]
fn every_file_that_fuzzing_kept_is_still_taken_and_so_are_changes_of_it() {
    replay::replay(&[("config", fuzz_config)]);
}

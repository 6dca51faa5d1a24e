use super::*;

fn refusal(text: &str, settings: &[&str]) -> String {
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    match Scenario::parse("a.toml", text, &settings) {
        Ok(scenario) => panic!("accepted: {scenario:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_shipped_scenario_is_sound_says_what_it_is_about_and_survives_writing() {
    for (name, text) in shipped::SHIPPED {
        let scenario = Scenario::parse(name, text, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert!(!scenario.about.is_empty(), "{name} says nothing about itself");
        assert!(!scenario.objectives.is_empty(), "{name} judges nothing");
        let again = toml::Table::try_from(&scenario).expect("it can be written");
        assert_eq!(again.try_into::<Scenario>().expect("it can be read again"), scenario, "{name}");
    }
}

#[test]
fn unknown_keys_and_impossible_values_are_refused_with_a_sentence() {
    let room = "[[rooms]]\nsize = 3\n";
    for (text, sentence) in [
        ("[[rooms]]\nsize = 3\nspekers = 1", "unknown field `spekers`"),
        ("seeed = 3", "unknown field `seeed`"),
        ("", "neither [[rooms]] nor [text]"),
        ("[[rooms]]\ncount = 2", "rooms.0 wants a size and a count"),
        ("[[rooms]]\nsize = 3\nspeakers = 4", "rooms.0.speakers is larger than the room"),
        ("[[rooms]]\nsize = 3\n[rooms.network]\nlte = 0.7\nwifi = 0.7", "no more than 1 together"),
        ("[[rooms]]\nsize = 3\n[rooms.network]\nmoon = 0.1", "\"moon\" is neither in [networks] nor one of perfect, fibre"),
        ("[[rooms]]\nsize = 6000", "no more than 5000 people"),
        (&format!("{room}[networks.x.up]\nloss = 2.0"), "networks.x: `loss` is a probability"),
        (&format!("{room}[objectives]\nloss = \"about 3\""), "a relation and a number"),
        (&format!("{room}[objectives]\nluck = \"<= 3\""), "there is no figure \"luck\""),
        (&format!("{room}[speech]\npacket_ms = 10"), "20, 40 or 60"),
        (&format!("{room}[video]\nlayers = 4"), "layers are 1 to 3"),
        (&format!("{room}[video]\ncameras = 0"), "video wants cameras"),
        (&format!("{room}[video]\nbitrate_bps = 1"), "video.bitrate_bps is"),
        (&format!("{room}[video]\n[churn]\nmoves = 1.0"), "video goes without churn.moves"),
        (&format!("{room}[[shifts]]\nat_s = 3.0\nperson = 0\nnetwork = \"moon\""), "network is in [networks] or a preset"),
        (&format!("{room}[[shifts]]\nat_s = 99.0\nperson = 0\nnetwork = \"lte\""), "at_s lies in the window"),
        (&format!("{room}[time]\nrounds = 3\n[churn]\nleaves = 1.0"), "time.rounds must be 1"),
    ] {
        let refusal = refusal(text, &[]);
        assert!(refusal.starts_with("a.toml: ") && refusal.contains(sentence), "{text:?}: {refusal}");
    }
    assert!(Scenario::load("no-such-scenario", &[]).expect_err("refused").to_string().contains("no-such-scenario"));
}

#[test]
fn settings_change_numbers_texts_and_list_places_and_say_what_is_wrong_with_them() {
    let text = "[[rooms]]\nsize = 3\n";
    let settings = ["rooms.0.size=50", "speech.pattern=turns", "time.measure=1.5", "rooms.0.network.lte=0.5", "floor=true"];
    let scenario = Scenario::parse("a", text, &settings.map(str::to_owned)).expect("accepted");
    assert_eq!((scenario.rooms[0].size, scenario.speech.pattern, scenario.time.measure), (50, Pattern::Turns, 1.5));
    assert_eq!((scenario.rooms[0].network["lte"], scenario.floor), (0.5, true));
    assert!(refusal(text, &["rooms.size=5"]).contains("`rooms` is a list"));
    assert!(refusal(text, &["rooms.4.size=5"]).contains("no place 4"));
    assert!(refusal(text, &["seed"]).contains("key=value"));
    assert!(refusal(text, &["nothing.at.all=1"]).contains("unknown field `nothing`"));
    assert_eq!(scenario.with("rooms.0.size", 75.0).expect("a larger room").rooms[0].size, 75);
}

#[test]
fn objectives_hold_or_break() {
    for (text, value, holds) in [("<= 3", 3.0, true), ("<=3", 3.1, false), (">= 0.5", 0.5, true), ("== 0", 1.0, false)] {
        let objective = Objective::try_from(text.to_owned()).expect("well formed");
        assert_eq!(objective.holds(value), holds, "{value} {text}");
    }
    assert!(!Objective::try_from("<= 3".to_owned()).expect("well formed").holds(f64::NAN));
}

//! The scenarios that come with the program: one per claim of the README.

macro_rules! scenarios {
    ($($name:literal),* $(,)?) => {
        /// Name and text, in the order of the list.
        pub const SHIPPED: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*];
    };
}

scenarios![
    "smoke",
    "fanout-native",
    "fanout-webrtc",
    "fanout-mixed",
    "rooms-native",
    "rooms-webrtc",
    "rooms-mixed",
    "load-30",
    "load-50",
    "load-70",
    "first-audio",
    "memory-idle",
    "memory-active",
    "joins",
    "thousand",
    "thousand-spread",
    "soak",
    "join-storm",
    "reconnect-storm",
    "networks",
    "video-single",
    "video-spread",
    "video-simulcast",
    "video-call",
    "video-narrow",
    "community",
    "text",
    "capacity-fanout",
    "capacity-rooms",
];

pub fn find(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

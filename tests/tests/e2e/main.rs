//! End to end: the real server process, real client libraries, real browsers. Each module is one promise of the README.

mod bad_input;
mod bad_voice;
mod browsers;
mod bucket;
mod commands;
mod community;
mod crash;
mod fleet;
mod jepsen;
mod joining;
mod libraries;
mod limits;
mod load;
mod moderation;
mod moving;
mod operations;
mod private;
mod process;
mod recording;
mod resume;
mod room;
mod screen_sound;
mod twilight;
mod voice;
mod whip;

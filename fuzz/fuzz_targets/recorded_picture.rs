#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| guildhall_signaling::fuzzing::recorded_picture(data));

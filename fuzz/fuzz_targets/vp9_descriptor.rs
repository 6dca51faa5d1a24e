#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| guildhall_sfu::fuzzing::vp9_descriptor(data));

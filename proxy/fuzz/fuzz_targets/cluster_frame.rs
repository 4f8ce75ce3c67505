#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::cluster_frame(data));

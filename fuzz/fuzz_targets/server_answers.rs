#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inpo_fuzz::targets::server_answers(bytes));

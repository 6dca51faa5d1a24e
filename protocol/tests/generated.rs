//! The committed code of `proto/fleet.proto` is what the generator makes of it. It is committed so that a build needs neither
//! the generator nor its time, and generated without `protoc`, by a compiler in Rust.
//!
//! It lives here because the code cannot be checked by a test of the crate that it breaks.

use std::fs;
use std::path::{Path, PathBuf};

/// Set, the code is written instead of compared.
const WRITE: &str = "GUILDHALL_WRITE_GENERATED";

const HEADER: &str = "// Generated from protocol/proto/fleet.proto: do not edit. After a change there run\n\
                      // GUILDHALL_WRITE_GENERATED=1 cargo test -p guildhall-protocol --test generated\n\n";

#[test]
fn the_generated_code_is_current() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed: PathBuf = here.join("../dial/src/wire.rs");
    let descriptors = protox::compile(["fleet.proto"], [here.join("proto")]).expect("the .proto file is sound");
    let out = tempfile::tempdir().expect("a folder");
    tonic_prost_build::configure().out_dir(out.path()).compile_fds(descriptors).expect("code can be made of it");
    let made = fs::read_to_string(out.path().join("guildhall.fleet.v1.rs")).expect("the package's code");
    let made = format!("{HEADER}{made}");
    if std::env::var_os(WRITE).is_some() {
        fs::write(&committed, made).expect("the tree is writable");
        return;
    }
    let found = fs::read_to_string(&committed).expect("the code is committed");
    assert!(found == made, "dial/src/wire.rs is not what protocol/proto/fleet.proto says; its first lines say what to do");
}
